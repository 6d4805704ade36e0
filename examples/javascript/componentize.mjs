// componentize.mjs SOURCE WIT WORLD COMPONENT [http]: a component; it imports no HTTP unless told.
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const [sourcePath, witPath, worldName, path, http] = process.argv.slice(2);
const disableFeatures = http ? ["fetch-event"] : ["http", "fetch-event"];
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(path, component);
