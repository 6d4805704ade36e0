// Asks a server for several things at once, then for another one. The argument: where the server is. Knows nothing of
// Everstep.

import { getArguments } from "wasi:cli/environment@0.2.12";

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export const run = {
  async run() {
    const server = getArguments()[1];
    const ask = async (path, options) => {
      const answer = await fetch(server + path, options);
      return [answer.status, await answer.text()];
    };
    const order = [];
    const noting = async (name, answer) => [await answer, order.push(name)][0];
    const all = await Promise.all([
      noting("first", ask("/echo?first")),
      noting("second", ask("/mirror", { method: "POST", body: "x".repeat(100_000), headers: { "idempotency-key": "second" } })),
      noting("third", ask("/echo?third")),
    ]);
    await sleep(1_000);
    const [status, text] = await ask(`/echo?again=${Math.random() < 0.5}`);
    const again = JSON.parse(text).target;
    console.log(JSON.stringify({ all: all.map(([status, text]) => [status, text.length]), order, status, again }));
  },
};
