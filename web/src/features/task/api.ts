import { queryOptions } from '@tanstack/react-query'
import { list, request } from '../../api/http'
import type { Task } from '../../api/types'

const busy = (t?: Task) => t?.state === 'queued' || t?.state === 'running'

export const tasksQuery = queryOptions({
  queryKey: ['task', 'list'],
  queryFn: ({ signal }) => list<Task>('/tasks', { sort: '-createdAt', limit: 200 }, signal),
})
export const taskQuery = (uid: string) =>
  queryOptions({
    queryKey: ['task', uid],
    queryFn: ({ signal }) => request<Task>(`/tasks/${uid}`, { signal }),
    // Progress may move faster than events are sent; look now and then while it runs.
    refetchInterval: (q) => (busy(q.state.data) ? 2000 : false),
  })
export const cancelTask = (t: Task) =>
  request<unknown>(`/tasks/${t.uid}/cancel`, { method: 'POST' })
export const isBusy = busy
