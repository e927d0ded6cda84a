import { useSyncExternalStore } from 'react'
import { locale, t } from '../i18n'

let now = Date.now()
const listeners = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

// One clock for all ages on the page.
function subscribe(l: () => void) {
  listeners.add(l)
  now = Date.now()
  timer ??= setInterval(() => {
    now = Date.now()
    listeners.forEach((f) => f())
  }, 15_000)
  return () => {
    listeners.delete(l)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
]

/** "3 minutes ago"; less than 45 seconds is "just now". */
export function ago(at: number, from: number): string {
  const s = (at - from) / 1000
  if (Math.abs(s) < 45) return t.time.now
  const f = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' })
  for (const [unit, size] of units) if (Math.abs(s) >= size) return f.format(Math.round(s / size), unit)
  return f.format(Math.round(s / 60), 'minute')
}

export const exact = (at: string): string =>
  new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(at))

/** An instant as its age, with the exact time for those who point at it. */
export function Time({ at }: { at?: string }) {
  const base = useSyncExternalStore(subscribe, () => now)
  if (!at || at.startsWith('0001-')) return <span className="muted">{t.time.never}</span>
  return (
    <time dateTime={at} title={exact(at)} className="num">
      {ago(Date.parse(at), Math.max(base, Date.now()))}
    </time>
  )
}

/** A duration in milliseconds for people. */
export function millis(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  return `${(ms / 1000).toFixed(1)} s`
}
