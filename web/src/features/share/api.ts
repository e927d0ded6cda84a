import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { list, quote, request } from '../../api/http'
import { ProblemError } from '../../api/problem'
import { atRevision } from '../../api/revision'
import type { AuditEntry, Share, ShareSpec } from '../../api/types'
import { queryClient } from '../../app/queries'

export interface ShareSearch {
  q?: string
  state?: 'ready' | 'applying' | 'failed'
  node?: string
  sort?: string
}

const ready = { ready: 'True', applying: 'Unknown', failed: 'False' }

/** The filter expression of a search. */
export function filterOf(s: ShareSearch): string {
  const parts: string[] = []
  if (s.state) parts.push(`ready eq ${quote(ready[s.state])}`)
  if (s.node) parts.push(`node eq ${quote(s.node)}`)
  return parts.join(' and ')
}

export const sharesQuery = (s: ShareSearch) =>
  infiniteQueryOptions({
    queryKey: ['share', 'list', s],
    queryFn: ({ signal, pageParam }) =>
      list<Share>('/shares', { q: s.q, filter: filterOf(s), sort: s.sort ?? 'name', limit: 200, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.nextCursor || undefined,
    placeholderData: (prev) => prev,
  })

export const shareQuery = (uid: string) =>
  queryOptions({
    queryKey: ['share', uid],
    queryFn: ({ signal }) => request<Share>(`/shares/${uid}`, { signal }),
  })

export const historyQuery = (uid: string) =>
  queryOptions({
    queryKey: ['audit', 'of', uid],
    queryFn: ({ signal }) =>
      list<AuditEntry>('/audit', { filter: `uid eq ${quote(uid)}`, sort: '-seq', limit: 20 }, signal),
  })

const keep = (s: Share): Share => {
  queryClient.setQueryData(['share', s.uid], s)
  void queryClient.invalidateQueries({ queryKey: ['share', 'list'] })
  return s
}

export const createShare = (body: ShareSpec, requestID: string) =>
  request<Share>('/shares', { method: 'POST', body, requestID }).then(keep)

export const updateShare = (base: Share, change: Partial<ShareSpec>, requestID: string) =>
  atRevision(`/shares/${base.uid}`, base, (revision) =>
    request<Share>(`/shares/${base.uid}`, { method: 'PATCH', body: change, revision, requestID }),
  ).then(keep)

export const deleteShare = (base: Share, requestID: string) =>
  atRevision(`/shares/${base.uid}`, base, (revision) =>
    request<Share | undefined>(`/shares/${base.uid}`, { method: 'DELETE', revision, requestID }),
  ).then(() => void queryClient.invalidateQueries({ queryKey: ['share'] }))

/** The part of a share that a person wrote. */
export function specOf(s: Share): ShareSpec {
  return {
    name: s.name,
    node: s.node,
    path: s.path || undefined,
    createPath: s.createPath,
    comment: s.comment || undefined,
    readOnly: s.readOnly,
    browseable: s.browseable,
    validUsers: s.validUsers ?? [],
    readList: s.readList ?? [],
    writeList: s.writeList ?? [],
    parameters: s.parameters && Object.keys(s.parameters).length > 0 ? s.parameters : undefined,
  }
}

/** Makes a deleted share again from its spec; the files never went away. The name is free only once the node has
 * removed the old one, so this waits for that. */
export async function recreateShare(s: Share, requestID: string): Promise<Share> {
  const spec = specOf(s)
  if (!spec.path && s.status.path) spec.path = s.status.path
  for (let tries = 0; ; tries++) {
    try {
      // Each try is its own request: the same key would repeat the stored refusal.
      return await request<Share>('/shares', { method: 'POST', body: spec, requestID, idempotencyKey: `${requestID}-${tries}` }).then(keep)
    } catch (err) {
      const taken = err instanceof ProblemError && err.status === 409
      if (!taken || tries >= 20) throw err
      await new Promise((r) => setTimeout(r, 500))
    }
  }
}
