// componentize.mjs SOURCE WIT WORLD COMPONENT: a component that imports no HTTP.
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const [sourcePath, witPath, worldName, path] = process.argv.slice(2);
const disableFeatures = ["http", "fetch-event"];
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(path, component);
