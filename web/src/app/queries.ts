import { QueryClient } from '@tanstack/react-query'
import { UnreachableError } from '../api/problem'

/** Queries are keyed by room first, as live events are: ['share', 'list', …], ['share', uid]. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // Live events say when data is old; until one comes, what we have is good.
      staleTime: 5 * 60_000,
      // The live stream brings data back after an outage; only a request lost on the way is tried once more.
      retry: (n, err) => err instanceof UnreachableError && n < 1,
      retryDelay: 400,
      networkMode: 'always',
      refetchOnWindowFocus: false,
    },
    mutations: { retry: false, networkMode: 'always' },
  },
})
