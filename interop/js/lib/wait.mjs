// Waiting with a deadline: a test that hangs says what it waited for.
const DEADLINE_MS = 5_000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves like `promise`, or fails after `ms` with a message that names `what`. */
export async function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** The arguments of the next `event` of `emitter`. */
export function next(emitter, event, ms = DEADLINE_MS) {
  let listener;
  const arrived = new Promise((resolve) => {
    listener = (...args) => resolve(args);
    emitter.on(event, listener);
  });
  return within(arrived, `event "${event}"`, ms).finally(() => emitter.off(event, listener));
}

/** Resolves when `check()` is truthy, with its value. */
export async function eventually(check, what, ms = DEADLINE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await sleep(10);
  }
}

/** Collects the arguments of every `event` from now on. */
export function collect(emitter, event) {
  const received = [];
  emitter.on(event, (...args) => received.push(args));
  return received;
}
