// A workflow with steps in JavaScript. The input names the case: `clean`, or what goes wrong.
import * as durable from "everstep:workflow/durable@1.1.0";

const bodies = new Map();
const outcomes = new Map();

function step(name, body) {
  const operation = durable.beginStep(0n, { name, semantics: "at-least-once-per-retry" });
  bodies.set(operation, body);
  return operation;
}

function result(operation) {
  while (!outcomes.has(operation)) {
    const event = durable.nextUnsealed();
    if (event.tag === "run") {
      const val = bodies.get(event.val.operation)(event.val.attempt);
      durable.end(event.val.operation, { tag: "succeed", val });
    } else {
      outcomes.set(event.val.operation, event.val.outcome);
    }
  }
  return outcomes.get(operation).val;
}

const wait = (name, seconds) => durable.beginWait(0n, name, seconds);
const charged = [];

const cases = {
  clean() {
    const order = crypto.randomUUID();
    const cooling = wait("cooling", 3);
    const token = result(
      step("charge", () => {
        // Garbage that is collected some time later, in workflow code.
        charged.push(...Array.from({ length: 100_000 }, (_, at) => ({ at })));
        return Math.random() < 1 ? "charged" : "never";
      }),
    );
    result(cooling);
    let text = "";
    for (let at = 0; at < 200_000; at++) text += String.fromCharCode(65 + (at % 26));
    return { order, token, length: text.length, at: Date.now() % 1000 };
  },
  leaks() {
    result(step("charge", (attempt) => String(charged.push(attempt))));
    return { charged: charged.length };
  },
};

export const run = {
  run() {
    const name = JSON.parse(durable.input()).case;
    durable.finish({ tag: "ok", val: JSON.stringify(cases[name]()) });
  },
};
