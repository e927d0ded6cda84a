import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type LinkState, LiveStream, type Transport } from './live'
import type { LiveEvent } from './types'

interface Conn {
  cursor: number | undefined
  frame(e: LiveEvent): void
  down(opened: boolean): void
  closed: boolean
}

function world() {
  const conns: Conn[] = []
  const transport = (): Transport => ({
    open(cursor, on) {
      const c: Conn = { cursor, frame: on.frame, down: on.down, closed: false }
      conns.push(c)
      return { close: () => (c.closed = true) }
    },
  })
  const events: LiveEvent[] = []
  const states: LinkState[] = []
  let resets = 0
  const first = transport()
  const second = transport()
  const used: string[] = []
  const named = (name: string, t: Transport): Transport => ({
    open: (cursor, on) => {
      used.push(name)
      return t.open(cursor, on)
    },
  })
  const stream = new LiveStream(
    { event: (e) => events.push(e), reset: () => resets++, state: (s) => states.push(s) },
    [named('ws', first), named('sse', second)],
    () => 0,
  )
  return { conns, events, states, used, stream, resets: () => resets }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('resumes from the last event after a drop, and takes no event twice', async () => {
  const w = world()
  w.stream.start()
  expect(w.conns[0]!.cursor).toBeUndefined()
  w.conns[0]!.frame({ type: 'hello', cursor: 10 })
  w.conns[0]!.frame({ type: 'share.changed', seq: 11, uid: 'a' })
  w.conns[0]!.frame({ type: 'share.changed', seq: 12, uid: 'b' })
  w.conns[0]!.down(true)
  await vi.advanceTimersByTimeAsync(600)
  expect(w.conns[1]!.cursor).toBe(12)
  w.conns[1]!.frame({ type: 'hello', cursor: 12 })
  w.conns[1]!.frame({ type: 'share.changed', seq: 12, uid: 'b' })
  w.conns[1]!.frame({ type: 'share.changed', seq: 13, uid: 'c' })
  expect(w.events.map((e) => e.uid)).toEqual(['a', 'b', 'c'])
  expect(w.states).toEqual(['online', 'offline', 'online'])
  expect(w.resets()).toBe(1) // for data from before the first hello
})

test('a cursor that is too old, or ahead of the server, loads everything again', async () => {
  const w = world()
  w.stream.start()
  w.conns[0]!.frame({ type: 'hello', cursor: 100 })
  w.conns[0]!.frame({ type: 'reset', cursor: 400 })
  expect(w.resets()).toBe(2)
  w.conns[0]!.down(true)
  await vi.advanceTimersByTimeAsync(600)
  expect(w.conns[1]!.cursor).toBe(400)
  w.conns[1]!.frame({ type: 'hello', cursor: 7 }) // restored from a backup
  expect(w.resets()).toBe(3)
  w.conns[1]!.frame({ type: 'share.changed', seq: 8, uid: 'x' })
  expect(w.events.map((e) => e.uid)).toEqual(['x'])
})

test('backs off up to ten seconds and falls back to SSE where WebSockets do not pass', async () => {
  const w = world()
  w.stream.start()
  for (let i = 0; i < 8; i++) {
    w.conns.at(-1)!.down(false)
    await vi.advanceTimersByTimeAsync(10_000)
  }
  expect(w.used.slice(0, 5)).toEqual(['ws', 'ws', 'sse', 'sse', 'ws'])
  const before = w.conns.length
  w.conns.at(-1)!.down(false)
  await vi.advanceTimersByTimeAsync(4900) // half of ten seconds, jitter being 0 here
  expect(w.conns.length).toBe(before)
  await vi.advanceTimersByTimeAsync(200)
  expect(w.conns.length).toBe(before + 1)
})

test('a stream that never says hello is given up', async () => {
  const w = world()
  w.stream.start()
  await vi.advanceTimersByTimeAsync(9000)
  expect(w.conns[0]!.closed).toBe(true)
  expect(w.conns.length).toBe(2)
})

test('a late word of a connection that was given up changes nothing', async () => {
  const w = world()
  w.stream.start()
  w.conns[0]!.frame({ type: 'hello', cursor: 1 })
  w.stream.suspect()
  await vi.advanceTimersByTimeAsync(600)
  w.conns[1]!.frame({ type: 'hello', cursor: 1 })
  w.conns[0]!.frame({ type: 'share.changed', seq: 2, uid: 'late' })
  w.conns[0]!.down(true)
  expect(w.events).toEqual([])
  expect(w.states.at(-1)).toBe('online')
})
