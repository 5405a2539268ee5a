// What could not be told to oncegate, and is tried again while the client's answer is long on its way.
'use strict';

const COUNT_MAX = 1024;
const BYTES_MAX = 64 << 20;
const PAUSE_MS = 1000;
const PAUSE_MS_MAX = 10_000;

class Later {
  #count = 0;
  #bytes = 0;

  /**
   * Tries `attempt` after a second and then less and less often, until it succeeds, `worthwhile(error)` says no, or
   * `patienceMs` are over; then `failed(error)`. False: too much waits already, and nothing will be done.
   */
  add(bytes, patienceMs, attempt, worthwhile, failed) {
    if (this.#count === COUNT_MAX || this.#bytes + bytes > BYTES_MAX) return false;
    this.#count += 1;
    this.#bytes += bytes;
    const deadline = performance.now() + patienceMs;
    const settled = () => {
      this.#count -= 1;
      this.#bytes -= bytes;
    };
    const again = (pause) => {
      const timer = setTimeout(() => {
        attempt().then(settled, (error) => {
          if (worthwhile(error) && performance.now() < deadline) return again(Math.min(2 * pause, PAUSE_MS_MAX));
          settled();
          failed(error);
        });
      }, pause);
      timer.unref();
    };
    again(PAUSE_MS);
    return true;
  }
}

module.exports = { Later };
