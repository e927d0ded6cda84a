import { queryOptions } from '@tanstack/react-query'
import { list, request } from '../../api/http'
import { ProblemError } from '../../api/problem'
import type { Me, Token, WebSession } from '../../api/types'

/** Who is logged in; null is nobody. */
export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: async ({ signal }): Promise<Me | null> => {
    try {
      return await request<Me>('/auth/me', { signal })
    } catch (err) {
      if (err instanceof ProblemError && err.status === 401) return null
      throw err
    }
  },
})

export const statusQuery = queryOptions({
  queryKey: ['status'],
  queryFn: ({ signal }) => request<{ setupRequired: boolean }>('/auth/status', { signal }),
  staleTime: 0,
})

export const setup = (body: { code: string; name: string; password: string }) =>
  request<unknown>('/auth/setup', { method: 'POST', body })
export const login = (body: { name: string; password: string }) =>
  request<unknown>('/auth/login', { method: 'POST', body })
export const logout = () => request<unknown>('/auth/logout', { method: 'POST' })
export const changePassword = (body: { current: string; new: string }) =>
  request<unknown>('/auth/password', { method: 'POST', body })

export const tokensQuery = queryOptions({
  queryKey: ['token', 'list'],
  queryFn: ({ signal }) => list<Token>('/tokens', { limit: 200 }, signal),
})
export const createToken = (body: { name: string; privileges: string[]; expiresAt?: string }) =>
  request<Token>('/tokens', { method: 'POST', body })
export const revokeToken = (t: Token) =>
  request<unknown>(`/tokens/${t.uid}`, { method: 'DELETE', revision: t.revision })

export const sessionsQuery = queryOptions({
  queryKey: ['session', 'list'],
  queryFn: ({ signal }) => list<WebSession>('/auth/sessions', {}, signal),
})
export const endSession = (uid: string) => request<unknown>(`/auth/sessions/${uid}`, { method: 'DELETE', revision: '*' })

/** Reads the bootstrap code out of the fragment that the server prints, `#/setup?code=…`. A fragment never reaches a
 * server's or a proxy's log. */
export function codeFromHash(hash: string): string | undefined {
  const m = /^#\/setup(?:\?(.*))?$/.exec(hash)
  if (!m) return undefined
  return new URLSearchParams(m[1] ?? '').get('code') ?? ''
}
