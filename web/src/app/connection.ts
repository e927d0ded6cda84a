import { useSyncExternalStore } from 'react'
import { Coalescer } from '../api/coalesce'
import { onOutcome, request } from '../api/http'
import { type LinkState, LiveStream } from '../api/live'
import { ProblemError, UnreachableError } from '../api/problem'
import type { LiveEvent } from '../api/types'
import { queryClient } from './queries'

let state: LinkState = 'connecting'
const listeners = new Set<() => void>()

export function useLink(): LinkState {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l)
      return () => listeners.delete(l)
    },
    () => state,
  )
}

const everything = '*'
const coalescer = new Coalescer((keys) => {
  if (keys.includes(everything)) return queryClient.invalidateQueries({ predicate: (q) => q.queryKey[0] !== 'status' })
  return Promise.all(keys.map((k) => queryClient.invalidateQueries({ queryKey: [k] })))
})

/** The rooms whose queries an event makes old. A user's change shows in groups and the other way round. */
export function roomsOf(e: LiveEvent): string[] {
  const kind = e.kind ?? e.type.split('.')[0] ?? ''
  const rooms = new Set([kind, 'audit'])
  if (kind === 'user') rooms.add('group')
  if (kind === 'group') rooms.add('user')
  if (kind === 'node') rooms.add('share')
  if (e.type.endsWith('.status')) rooms.delete('audit')
  return [...rooms]
}

const stream = new LiveStream({
  event: (e) => coalescer.mark(...roomsOf(e)),
  reset: () => coalescer.mark(everything),
  state(s) {
    const back = state === 'offline' && s === 'online'
    state = s
    listeners.forEach((l) => l())
    // Queries that failed meanwhile have no event to wake them.
    if (back) coalescer.mark(everything)
  },
  refused: () => void queryClient.invalidateQueries({ queryKey: ['me'] }),
})

onOutcome((err) => {
  if (err === null) stream.retryNow()
  else if (err instanceof UnreachableError) stream.suspect()
  else if (err instanceof ProblemError && err.status === 401 && queryClient.getQueryData(['me']))
    queryClient.setQueryData(['me'], null)
})

/** Opens the live stream; returns how to close it. Call once a login is known. */
export function startLive(): () => void {
  const retry = () => stream.retryNow()
  const offline = () => stream.suspect()
  const seen = () => document.visibilityState === 'visible' && retry()
  // A dead connection can look open for minutes; asking now and then finds out.
  const beat = setInterval(() => {
    if (state === 'online' && document.visibilityState === 'visible') void request('/health').catch(() => {})
  }, 20_000)
  addEventListener('online', retry)
  addEventListener('offline', offline)
  document.addEventListener('visibilitychange', seen)
  stream.start()
  return () => {
    clearInterval(beat)
    removeEventListener('online', retry)
    removeEventListener('offline', offline)
    document.removeEventListener('visibilitychange', seen)
    stream.stop()
    coalescer.stop()
  }
}

export const retryLink = (): void => stream.retryNow()
