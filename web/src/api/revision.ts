import { request } from './http'
import { isStale } from './problem'

/** A status report also moves the revision. When the spec is still the one that was read (same generation), a stale
 * revision is no conflict: read again and repeat. A real one stays an error for people. */
export async function atRevision<T>(
  path: string,
  base: { generation: number; revision: number },
  send: (revision: number) => Promise<T>,
): Promise<T> {
  let revision = base.revision
  for (let tries = 0; ; tries++) {
    try {
      return await send(revision)
    } catch (err) {
      if (!isStale(err) || tries >= 4) throw err
      const now = await request<{ generation: number; revision: number }>(path)
      if (now.generation !== base.generation) throw err
      revision = now.revision
    }
  }
}
