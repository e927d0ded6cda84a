import { afterEach, expect, test, vi } from 'vitest'
import type { Share } from '../../api/types'
import { ProblemError } from '../../api/problem'
import { atRevision } from '../../api/revision'
import { filterOf } from './api'

const share = { uid: 'u', generation: 2, revision: 5 } as Share
const stale = () => new ProblemError({ status: 412 }, 'r')

afterEach(() => void vi.unstubAllGlobals())
const server = (now: Partial<Share>) =>
  vi.stubGlobal('fetch', async () => new Response(JSON.stringify({ ...share, ...now }), { status: 200 }))

test('a status report in between is no conflict', async () => {
  server({ revision: 6 })
  const sent: number[] = []
  await atRevision('/shares/u', share, async (r) => {
    sent.push(r)
    if (r === 5) throw stale()
  })
  expect(sent).toEqual([5, 6])
})

test('a change of the spec in between is one', async () => {
  server({ revision: 6, generation: 3 })
  await expect(
    atRevision('/shares/u', share, async () => {
      throw stale()
    }),
  ).rejects.toMatchObject({ status: 412 })
})

test('filters quote what they are given', () => {
  expect(filterOf({ state: 'failed', node: 'a"b\\c' })).toBe('ready eq "False" and node eq "a\\"b\\\\c"')
  expect(filterOf({})).toBe('')
})
