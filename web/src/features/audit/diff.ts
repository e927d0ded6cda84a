export interface Change {
  path: string
  before?: string
  after?: string
}

// Bookkeeping that changes with everything tells nobody anything.
const noise = new Set(['revision', 'generation', 'updatedAt', 'createdAt'])

function flatten(v: unknown, path: string, out: Map<string, string>): void {
  if (Array.isArray(v)) {
    if (v.every((x) => typeof x !== 'object' || x === null)) {
      if (v.length > 0) out.set(path, v.map(String).join(', '))
      return
    }
    v.forEach((x, i) => flatten(x, `${path}[${i}]`, out))
  } else if (v !== null && typeof v === 'object') {
    for (const [k, x] of Object.entries(v)) {
      if (path === '' && noise.has(k)) continue
      flatten(x, path ? `${path}.${k}` : k, out)
    }
  } else if (v !== undefined && v !== null && v !== '') {
    out.set(path || 'value', String(v))
  }
}

/** The fields that differ between two objects, by dotted path, in the order they first appear. */
export function diff(before: unknown, after: unknown): Change[] {
  const a = new Map<string, string>()
  const b = new Map<string, string>()
  flatten(before, '', a)
  flatten(after, '', b)
  const paths = new Set([...a.keys(), ...b.keys()])
  return [...paths]
    .filter((path) => a.get(path) !== b.get(path))
    .map((path) => ({ path, before: a.get(path), after: b.get(path) }))
}
