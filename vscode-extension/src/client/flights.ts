interface Flight {
  readonly controller: AbortController;
  readonly landed: Promise<void>;
}

/** The answer to a request that a newer one replaced before it was sent. */
export class SupersededError extends Error {
  override readonly name = "SupersededError";
}

/**
 * One request in flight and one pending for each key: a newer one cancels the one in flight and
 * takes the place of the one that waits.
 */
export class Flights {
  readonly #flying = new Map<string, Flight>();
  readonly #pending = new Map<string, AbortController>();

  async run<T>(key: string, job: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.#pending.get(key)?.abort(new SupersededError("replaced by a newer request"));
    this.#pending.set(key, controller);
    const older = this.#flying.get(key);
    older?.controller.abort(new SupersededError("replaced by a newer request"));
    await older?.landed;
    if (this.#pending.get(key) === controller) this.#pending.delete(key);
    controller.signal.throwIfAborted();

    const work = job(controller.signal);
    const flight: Flight = {
      controller,
      landed: work.then(
        () => undefined,
        () => undefined,
      ),
    };
    this.#flying.set(key, flight);
    try {
      return await work;
    } finally {
      if (this.#flying.get(key) === flight) this.#flying.delete(key);
    }
  }

  /** Cancels what flies and what waits under the key. */
  cancel(key: string): void {
    this.#pending.get(key)?.abort(new SupersededError("cancelled"));
    this.#flying.get(key)?.controller.abort(new SupersededError("cancelled"));
  }

  cancelAll(): void {
    for (const key of new Set([...this.#flying.keys(), ...this.#pending.keys()])) this.cancel(key);
  }
}
