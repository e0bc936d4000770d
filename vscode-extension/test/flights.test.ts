/** One request in flight and one pending for each document. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Flights, SupersededError } from "../src/client/flights.js";
import { delayBefore, pause } from "../src/client/retry.js";

/** A job that ends when it is aborted or told to. */
function job(name: string, log: string[]) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const start = (signal: AbortSignal): Promise<string> => {
    log.push(`start ${name}`);
    signal.addEventListener("abort", () => {
      log.push(`stop ${name}`);
      reject(signal.reason as Error);
    });
    return promise;
  };
  return {
    start,
    finish: () => {
      resolve(name);
    },
  };
}

test("a newer request cancels the one in flight and replaces the one that waits", async () => {
  const flights = new Flights();
  const log: string[] = [];
  const [first, second, third] = [job("1", log), job("2", log), job("3", log)];

  const flying = flights.run("doc", first.start);
  await Promise.resolve();
  const answers = [flying, ...[second, third].map((one) => flights.run("doc", one.start))];
  const settled = Promise.allSettled(answers);
  third.finish();

  const [one, two, three] = await settled;
  assert.equal(one?.status === "rejected" && one.reason instanceof SupersededError, true);
  assert.equal(two?.status === "rejected" && two.reason instanceof SupersededError, true);
  assert.equal(three?.status === "fulfilled" && three.value, "3");
  assert.deepEqual(log, ["start 1", "stop 1", "start 3"]);
});

test("documents do not wait for each other", async () => {
  const flights = new Flights();
  const log: string[] = [];
  const [first, second] = [job("a", log), job("b", log)];

  const one = flights.run("a", first.start);
  const two = flights.run("b", second.start);
  second.finish();
  assert.equal(await two, "b");
  first.finish();
  assert.equal(await one, "a");
});

test("cancelling ends what flies", async () => {
  const flights = new Flights();
  const log: string[] = [];
  const flying = flights.run("doc", job("1", log).start);
  await Promise.resolve();

  flights.cancelAll();

  await assert.rejects(flying, SupersededError);
  assert.deepEqual(log, ["start 1", "stop 1"]);
});

test("the back-off doubles up to a ceiling and a pause can be cut short", async () => {
  assert.deepEqual([0, 1, 2, 3, 20].map(delayBefore), [0, 250, 500, 1000, 15_000]);
  const controller = new AbortController();
  const waited = pause(60_000, controller.signal);

  controller.abort();

  await waited;
});
