import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { list, quote, request } from '../../api/http'
import type { AuditEntry } from '../../api/types'

export interface AuditSearch {
  q?: string
  kind?: string
}

export const auditQuery = (s: AuditSearch) =>
  infiniteQueryOptions({
    queryKey: ['audit', 'list', s],
    queryFn: ({ signal, pageParam }) =>
      list<AuditEntry>(
        '/audit',
        { q: s.q, filter: s.kind ? `kind eq ${quote(s.kind)}` : '', sort: '-seq', limit: 200, cursor: pageParam },
        signal,
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.nextCursor || undefined,
    placeholderData: (prev) => prev,
  })

export const verifyQuery = queryOptions({
  queryKey: ['audit-verify'],
  queryFn: ({ signal }) => request<{ ok: boolean; entries: number; brokenAt?: number }>('/audit/verify', { signal }),
  enabled: false,
})
