import type { Condition, Share } from '../../api/types'

/** The condition of one type. */
export const find = (conditions: Condition[] | undefined, type: string): Condition | undefined =>
  conditions?.find((c) => c.type === type)

/** Why a share is not Ready, in one sentence: the summary first, then whatever is False. */
export function reasonOf(s: Share): string | undefined {
  const ready = find(s.status.conditions, 'Ready')
  if (ready && ready.status !== 'True' && ready.message) return ready.message
  return s.status.conditions?.find((c) => c.status === 'False' && c.type !== 'Degraded' && c.message)?.message
}
