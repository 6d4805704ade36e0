// Reads tasks, a JSON array of strings, and reminds of each when its time has come. Knows nothing of Everstep.

import { getStdin } from "wasi:cli/stdin@0.2.12";

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

function readStdin() {
  const stdin = getStdin();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    try {
      text += decoder.decode(stdin.blockingRead(65_536n), { stream: true });
    } catch (error) {
      if (error.payload?.tag === "closed") return text;
      throw error;
    }
  }
}

export const run = {
  async run() {
    const started = performance.now();
    const reminders = [];
    for (const task of JSON.parse(readStdin())) {
      const id = crypto.randomUUID();
      const noted = new Date().toISOString();
      await Promise.race([sleep(200), sleep(3_600_000)]);
      await sleep(1_000);
      console.error(`reminder ${id}: ${task}`);
      reminders.push({ id, task, noted, lucky: Math.random() < 0.5, after: performance.now() - started });
    }
    console.log(JSON.stringify(reminders));
  },
};
