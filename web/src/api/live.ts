import type { LiveEvent } from './types'

/** What the live stream needs of the world; tests pass their own. */
export interface Transport {
  /** Opens a stream from cursor on; calls back until `close`. */
  open(cursor: number | undefined, on: { frame(e: LiveEvent): void; down(everOpen: boolean): void }): { close(): void }
}

export type LinkState = 'connecting' | 'online' | 'offline'

export interface LiveHandlers {
  event(e: LiveEvent): void
  /** The stream cannot say what was missed: fetch everything again. */
  reset(): void
  state(s: LinkState): void
  /** The stream failed before it opened; asks whether the login is still good. */
  refused?(): void
}

const url = (path: string, cursor: number | undefined) =>
  `/api/v2/${path}${cursor === undefined ? '' : `?cursor=${cursor}`}`

export const webSocketTransport: Transport = {
  open(cursor, on) {
    const ws = new WebSocket(location.origin.replace(/^http/, 'ws') + url('live', cursor))
    let opened = false
    let over = false
    const down = () => {
      if (over) return
      over = true
      on.down(opened)
    }
    ws.onopen = () => (opened = true)
    ws.onmessage = (m) => on.frame(JSON.parse(String(m.data)) as LiveEvent)
    ws.onclose = down
    ws.onerror = down
    return {
      close() {
        over = true
        ws.close()
      },
    }
  },
}

export const sseTransport: Transport = {
  open(cursor, on) {
    const es = new EventSource(url('live/events', cursor))
    let opened = false
    const frame = (m: MessageEvent) => on.frame(JSON.parse(String(m.data)) as LiveEvent)
    es.onopen = () => (opened = true)
    es.onmessage = frame
    for (const type of ['hello', 'reset', 'event']) es.addEventListener(type, frame as EventListener)
    // EventSource would reconnect by itself, but without our cursor and backoff.
    es.onerror = () => {
      es.close()
      on.down(opened)
    }
    return { close: () => es.close() }
  },
}

/** How long a stream may take to say hello, in milliseconds. */
const helloWithin = 8000

/** Keeps one ordered stream of events open: resumes from the last cursor, backs off with jitter, and falls back to SSE
 * where a WebSocket does not get through. */
export class LiveStream {
  private cursor: number | undefined
  private conn: { close(): void } | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private attempt = 0
  private neverOpened = 0
  private which = 0
  private stopped = true
  private current: LinkState = 'connecting'

  constructor(
    private readonly on: LiveHandlers,
    private readonly transports: Transport[] = [webSocketTransport, sseTransport],
    private readonly jitter: () => number = Math.random,
  ) {}

  start(): void {
    if (!this.stopped) return
    this.stopped = false
    this.connect()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
    this.conn?.close()
    this.conn = undefined
  }

  /** Tries at once instead of waiting for the backoff; after "online", a return to the tab, or a click. */
  retryNow(): void {
    if (this.stopped || this.current === 'online') return
    clearTimeout(this.timer)
    this.conn?.close()
    this.connect()
  }

  /** Drops a connection that is open but dead. */
  suspect(): void {
    if (this.stopped || this.current !== 'online') return
    this.conn?.close()
    this.down(true)
  }

  private connect(): void {
    clearTimeout(this.timer)
    // Something in between may take the connection and never answer.
    this.timer = setTimeout(() => {
      this.conn?.close()
      this.down(false)
    }, helloWithin)
    const transport = this.transports[this.which % this.transports.length]!
    // Callbacks of a connection that was given up must not touch the next one.
    const mine = transport.open(this.cursor, {
      frame: (e) => this.conn === mine && this.frame(e),
      down: (opened) => this.conn === mine && this.down(opened),
    })
    this.conn = mine
  }

  private frame(e: LiveEvent): void {
    if (e.type === 'hello') {
      clearTimeout(this.timer)
      this.attempt = 0
      this.neverOpened = 0
      const first = this.cursor === undefined
      // A server that stands behind our cursor was restored from a backup: what we show may never have happened.
      const backwards = e.cursor !== undefined && this.cursor !== undefined && e.cursor < this.cursor
      if (first || backwards) this.cursor = e.cursor
      this.set('online')
      // Data fetched before the first hello may have missed an event in between.
      if (first || backwards) this.on.reset()
      return
    }
    if (e.type === 'reset') {
      this.cursor = e.cursor ?? e.seq
      this.on.reset()
      return
    }
    if (e.seq !== undefined) {
      if (this.cursor !== undefined && e.seq <= this.cursor) return
      this.cursor = e.seq
    }
    this.on.event(e)
  }

  private down(opened: boolean): void {
    this.conn = undefined
    if (this.stopped) return
    this.set('offline')
    if (!opened) {
      this.on.refused?.()
      if (++this.neverOpened % 2 === 0) this.which++
    }
    const wait = Math.min(500 * 2 ** this.attempt++, 10_000) * (0.5 + this.jitter() / 2)
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.connect(), wait)
  }

  private set(s: LinkState): void {
    if (s === this.current) return
    this.current = s
    this.on.state(s)
  }
}
