/** Runs `refetch` for keys that were marked dirty: soon for the first mark, then never while one run is under way and
 * never more often than the server can take. A thousand marks in a burst cause a handful of runs. */
export class Coalescer {
  private dirty = new Set<string>()
  private timer: ReturnType<typeof setTimeout> | undefined
  private running = false
  private lastEnd = -Infinity
  private lastCost = 0

  constructor(
    private readonly refetch: (keys: string[]) => Promise<unknown>,
    private readonly soon = 40,
    private readonly gap = 300,
    private readonly now: () => number = () => performance.now(),
  ) {}

  mark(...keys: string[]): void {
    for (const k of keys) this.dirty.add(k)
    this.plan()
  }

  stop(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.dirty.clear()
  }

  private plan(): void {
    if (this.running || this.timer !== undefined || this.dirty.size === 0) return
    // A slow refetch earns a longer pause, so that a long list is not fetched back to back.
    const pause = Math.max(this.gap, Math.min(3 * this.lastCost, 5000))
    const wait = Math.max(this.soon, this.lastEnd + pause - this.now())
    this.timer = setTimeout(() => void this.run(), wait)
  }

  private async run(): Promise<void> {
    this.timer = undefined
    const keys = [...this.dirty]
    this.dirty.clear()
    this.running = true
    const start = this.now()
    try {
      await this.refetch(keys)
    } catch {
      // The queries hold their own errors.
    }
    this.lastEnd = this.now()
    this.lastCost = this.lastEnd - start
    this.running = false
    this.plan()
  }
}
