import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Coalescer } from './coalesce'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a thousand events in a burst cause two refetches, and the last event is not lost', async () => {
  const runs: string[][] = []
  const c = new Coalescer(
    async (keys) => {
      runs.push(keys)
      await new Promise((r) => setTimeout(r, 200))
    },
    40,
    300,
    () => Date.now(),
  )
  for (let i = 0; i < 500; i++) c.mark('share', 'audit')
  await vi.advanceTimersByTimeAsync(100) // the first run is under way
  for (let i = 0; i < 500; i++) c.mark('share')
  await vi.advanceTimersByTimeAsync(10_000)
  expect(runs).toEqual([['share', 'audit'], ['share']])
})

test('a steady stream does not starve: runs never overlap and go on', async () => {
  let running = 0
  let most = 0
  let runs = 0
  const c = new Coalescer(
    async () => {
      runs++
      most = Math.max(most, ++running)
      await new Promise((r) => setTimeout(r, 400))
      running--
    },
    40,
    300,
    () => Date.now(),
  )
  for (let i = 0; i < 100; i++) {
    c.mark('share')
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(most).toBe(1)
  // Ten seconds of events, 0.4 s a run, a pause of three times that: about six runs.
  expect(runs).toBeGreaterThanOrEqual(5)
  expect(runs).toBeLessThanOrEqual(8)
})

test('a refetch that fails does not stop later ones', async () => {
  let runs = 0
  const c = new Coalescer(() => (runs++ === 0 ? Promise.reject(new Error('down')) : Promise.resolve()), 40, 300, () => Date.now())
  c.mark('share')
  await vi.advanceTimersByTimeAsync(1000)
  c.mark('share')
  await vi.advanceTimersByTimeAsync(1000)
  expect(runs).toBe(2)
})
