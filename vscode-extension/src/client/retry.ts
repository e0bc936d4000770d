const FIRST = 250;
const LONGEST = 15_000;

/** Attempts after which the user has to ask for another one. */
export const MOST_ATTEMPTS = 8;

/** Milliseconds to wait before the given attempt (0 is the first): doubling, with a ceiling. */
export function delayBefore(attempt: number): number {
  return attempt === 0 ? 0 : Math.min(FIRST * 2 ** (attempt - 1), LONGEST);
}

/** Waits, or less long when the signal is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
