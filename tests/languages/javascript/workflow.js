// A workflow with steps in JavaScript. The input names the case: `clean`, or what goes wrong.
import * as durable from "everstep:workflow/durable@1.2.0";

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
  clean({ left = 200_000, made = 200_000 }) {
    const order = crypto.randomUUID();
    const cooling = wait("cooling", 3);
    const token = result(
      step("charge", () => {
        // What workflow code has to collect in a live run, and not on replay.
        for (let at = 0; at < left; at++) charged.push({ at });
        charged.length = 0;
        return Math.random() < 1 ? "charged" : "never";
      }),
    );
    let kept = [];
    for (let at = 0; at < made; at++) {
      kept.push({ at, text: `order ${at}` });
      if (kept.length === 50_000) kept = [];
    }
    const at = performance.now();
    result(cooling);
    return { order, token, kept: kept.length, at };
  },
  leaks() {
    result(step("charge", (attempt) => String(charged.push(attempt))));
    return { charged: charged.length };
  },
};

export const run = {
  run() {
    const input = JSON.parse(durable.input());
    durable.finish({ tag: "ok", val: JSON.stringify(cases[input.case](input)) });
  },
};
