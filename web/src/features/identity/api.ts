import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { list, request } from '../../api/http'
import { atRevision } from '../../api/revision'
import type { Group, User, UserSpec } from '../../api/types'
import { queryClient } from '../../app/queries'

export interface PeopleSearch {
  q?: string
  sort?: string
}

export const usersQuery = (s: PeopleSearch) =>
  infiniteQueryOptions({
    queryKey: ['user', 'list', s],
    queryFn: ({ signal, pageParam }) =>
      list<User>('/users', { q: s.q, sort: s.sort ?? 'name', limit: 200, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.nextCursor || undefined,
    placeholderData: (prev) => prev,
  })

export const groupsQuery = (s: PeopleSearch) =>
  infiniteQueryOptions({
    queryKey: ['group', 'list', s],
    queryFn: ({ signal, pageParam }) =>
      list<Group>('/groups', { q: s.q, sort: s.sort ?? 'name', limit: 200, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.nextCursor || undefined,
    placeholderData: (prev) => prev,
  })

/** The first few users or groups that fit what was typed. */
export const findUsers = (q: string) =>
  queryOptions({
    queryKey: ['user', 'find', q],
    queryFn: ({ signal }) => list<User>('/users', { q, sort: 'name', limit: 20 }, signal),
    placeholderData: (prev) => prev,
  })
export const findGroups = (q: string) =>
  queryOptions({
    queryKey: ['group', 'find', q],
    queryFn: ({ signal }) => list<Group>('/groups', { q, sort: 'name', limit: 20 }, signal),
    placeholderData: (prev) => prev,
  })

const changed = <T>(v: T): T => {
  void queryClient.invalidateQueries({ queryKey: ['user'] })
  void queryClient.invalidateQueries({ queryKey: ['group'] })
  return v
}

export const createUser = (body: UserSpec, requestID: string) =>
  request<User>('/users', { method: 'POST', body, requestID }).then(changed)
export const updateUser = (u: User, change: Partial<UserSpec>, requestID: string) =>
  atRevision(`/users/${u.uid}`, u, (revision) =>
    request<User>(`/users/${u.uid}`, { method: 'PATCH', body: change, revision, requestID }),
  ).then(changed)
/** With force, also while shares name the user. */
export const deleteUser = (u: User, requestID: string, force = false) =>
  atRevision(`/users/${u.uid}`, u, (revision) =>
    request<unknown>(`/users/${u.uid}${force ? '?force=true' : ''}`, { method: 'DELETE', revision, requestID }),
  ).then(changed)
export const importUsers = (csv: string, requestID: string) =>
  request<{ taskUID: string }>('/users/import', { method: 'POST', raw: { type: 'text/csv', text: csv }, requestID })

export const createGroup = (body: { name: string; members: string[] }, requestID: string) =>
  request<Group>('/groups', { method: 'POST', body, requestID }).then(changed)
export const updateGroup = (g: Group, change: { name?: string; members?: string[] }, requestID: string) =>
  atRevision(`/groups/${g.uid}`, g, (revision) =>
    request<Group>(`/groups/${g.uid}`, { method: 'PATCH', body: change, revision, requestID }),
  ).then(changed)
export const deleteGroup = (g: Group, requestID: string, force = false) =>
  atRevision(`/groups/${g.uid}`, g, (revision) =>
    request<unknown>(`/groups/${g.uid}${force ? '?force=true' : ''}`, { method: 'DELETE', revision, requestID }),
  ).then(changed)

/** A password that is long enough to be safe and has no letters that look alike: 20 characters, about 115 bits. */
export function makePassword(): string {
  const letters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
  const out: string[] = []
  while (out.length < 20) {
    const [b] = crypto.getRandomValues(new Uint8Array(1))
    // Values past the last whole multiple would make the first letters likelier.
    if (b! < 256 - (256 % letters.length)) out.push(letters[b! % letters.length]!)
  }
  return [0, 5, 10, 15].map((i) => out.slice(i, i + 5).join('')).join('-')
}

/** Counts the rows of an import file without its heading; what each row means is for the server to say. */
export function csvRows(text: string): number {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/).filter((l) => l.trim() !== '')
  const head = /^"?name"?\s*;/i.test(lines[0] ?? '')
  return Math.max(0, lines.length - (head ? 1 : 0))
}
