import { queryOptions } from '@tanstack/react-query'
import { list, request } from '../../api/http'
import type { Enrolment, Node } from '../../api/types'
import { queryClient } from '../../app/queries'

export const nodesQuery = queryOptions({
  queryKey: ['node', 'list'],
  queryFn: ({ signal }) => list<Node>('/nodes', { sort: 'name', limit: 200 }, signal),
})
export const nodeQuery = (uid: string) =>
  queryOptions({ queryKey: ['node', uid], queryFn: ({ signal }) => request<Node>(`/nodes/${uid}`, { signal }) })

const changed = <T>(v: T): T => {
  void queryClient.invalidateQueries({ queryKey: ['node'] })
  return v
}
export const updateNode = (n: Node, change: Partial<Pick<Node, 'name' | 'advertisedAddress'>>, requestID: string) =>
  request<Node>(`/nodes/${n.uid}`, { method: 'PATCH', body: change, revision: n.revision, requestID }).then(changed)
export const deleteNode = (n: Node, requestID: string) =>
  request<unknown>(`/nodes/${n.uid}`, { method: 'DELETE', revision: n.revision, requestID }).then(changed)
export const confirmRemovals = (n: Node, requestID: string) =>
  request<unknown>(`/nodes/${n.uid}/confirm-removals`, { method: 'POST', revision: n.revision, requestID }).then(changed)
export const enrol = (name: string, requestID: string) =>
  request<Enrolment>('/nodes/enrolments', { method: 'POST', body: { name }, requestID })

/** The host and port that a client connects to. */
export function smbHost(n: Node | undefined, fallback: string): { host: string; port: number } {
  return { host: n?.address || fallback, port: n?.smbPort || 445 }
}
