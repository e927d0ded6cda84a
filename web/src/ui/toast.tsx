import { CircleAlert, CircleCheck, X } from 'lucide-react'
import { useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { t } from '../i18n'
import { describe } from './Blank'
import { Button, IconButton } from './Button'

export interface Toast {
  key: number
  tone: 'good' | 'bad'
  text: string
  id?: string
  action?: { label: string; run: () => void }
  millis: number
}

let toasts: Toast[] = []
let nextKey = 1
const listeners = new Set<() => void>()
const set = (next: Toast[]) => {
  toasts = next
  listeners.forEach((l) => l())
}

/** Shows a short message. One with an action stays longer. */
export function toast(text: string, o: { action?: Toast['action']; tone?: Toast['tone']; id?: string } = {}): number {
  const key = nextKey++
  const millis = o.action ? 12_000 : o.tone === 'bad' ? 10_000 : 4500
  set([...toasts.slice(-3), { key, text, tone: o.tone ?? 'good', id: o.id, action: o.action, millis }])
  return key
}

export function toastError(err: unknown): void {
  const { text, id } = describe(err)
  toast(text, { tone: 'bad', id })
}

export const dismiss = (key: number): void => set(toasts.filter((x) => x.key !== key))

export function Toasts() {
  const list = useSyncExternalStore(
    (l) => {
      listeners.add(l)
      return () => listeners.delete(l)
    },
    () => toasts,
  )
  return (
    <section className="toasts" aria-label={t.common.notifications} data-react-aria-top-layer="true">
      <div aria-live="polite" aria-relevant="additions">
        {list.map((x) => (
          <One key={x.key} toast={x} />
        ))}
      </div>
    </section>
  )
}

function One({ toast: x }: { toast: Toast }) {
  // The clock stands still while someone reads with the mouse or the focus on it.
  const [held, setHeld] = useState(false)
  const left = useRef(x.millis)
  useEffect(() => {
    if (held) return
    const start = performance.now()
    const timer = setTimeout(() => dismiss(x.key), left.current)
    return () => {
      clearTimeout(timer)
      left.current -= performance.now() - start
    }
  }, [held, x.key])
  return (
    <div
      className="toast"
      onPointerEnter={() => setHeld(true)}
      onPointerLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
    >
      {x.tone === 'good' ? (
        <CircleCheck aria-hidden className="good-text" />
      ) : (
        <CircleAlert aria-hidden className="bad-text" />
      )}
      <div className="text">
        {x.text}
        {x.id && <span className="id mono">{t.error.requestID(x.id)}</span>}
      </div>
      {x.action && (
        <Button
          size="sm"
          onPress={() => {
            dismiss(x.key)
            x.action?.run()
          }}
        >
          {x.action.label}
        </Button>
      )}
      <IconButton size="sm" label={t.common.dismiss} icon={<X aria-hidden />} onPress={() => dismiss(x.key)} />
    </div>
  )
}
