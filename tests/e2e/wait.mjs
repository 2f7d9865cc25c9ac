// Waiting without a fixed time.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something holds; throws with `reason` if it never does. */
export async function waitUntil(holds, reason, timeoutMs = 60_000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(200)) {
    if (await holds()) return;
  }
  throw new Error(reason);
}
