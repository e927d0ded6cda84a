import { CircleAlert, CircleCheck, CircleDashed, CircleOff, CircleX, LoaderCircle, Lock } from 'lucide-react'
import type { ReactNode } from 'react'
import { t } from '../i18n'

export type Tone = 'good' | 'busy' | 'bad' | 'idle'

const looks: Record<string, { tone: Tone; icon: ReactNode }> = {
  Ready: { tone: 'good', icon: <CircleCheck aria-hidden /> },
  Online: { tone: 'good', icon: <CircleCheck aria-hidden /> },
  done: { tone: 'good', icon: <CircleCheck aria-hidden /> },
  enabled: { tone: 'good', icon: <CircleCheck aria-hidden /> },
  Applying: { tone: 'busy', icon: <LoaderCircle className="spin" aria-hidden /> },
  running: { tone: 'busy', icon: <LoaderCircle className="spin" aria-hidden /> },
  Deleting: { tone: 'idle', icon: <LoaderCircle className="spin" aria-hidden /> },
  Pending: { tone: 'busy', icon: <CircleDashed aria-hidden /> },
  noPassword: { tone: 'busy', icon: <CircleDashed aria-hidden /> },
  queued: { tone: 'idle', icon: <CircleDashed aria-hidden /> },
  Failed: { tone: 'bad', icon: <CircleX aria-hidden /> },
  failed: { tone: 'bad', icon: <CircleX aria-hidden /> },
  Fenced: { tone: 'bad', icon: <Lock aria-hidden /> },
  Offline: { tone: 'bad', icon: <CircleOff aria-hidden /> },
  cancelled: { tone: 'idle', icon: <CircleOff aria-hidden /> },
  disabled: { tone: 'idle', icon: <CircleOff aria-hidden /> },
}

/** A state as shape, word and colour, so that no one of them has to carry it alone. */
export function State({ of }: { of: string }) {
  const look = looks[of] ?? { tone: 'idle' as Tone, icon: <CircleAlert aria-hidden /> }
  const words = t.states as Record<string, string>
  return (
    <span className={`state ${look.tone}`}>
      {look.icon}
      {words[of] ?? of}
    </span>
  )
}

/** Conditions whose "True" is bad news. */
export const badWhenTrue = (type: string): boolean => type === 'Degraded' || type === 'Fenced'

export function ConditionIcon({ status, type }: { status: string; type: string }) {
  const good = badWhenTrue(type) ? 'False' : 'True'
  if (status === good) return <CircleCheck className="good-text" aria-hidden />
  if (status === 'Unknown') return <CircleDashed className="busy-text" aria-hidden />
  return <CircleX className="bad-text" aria-hidden />
}
