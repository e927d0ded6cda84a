import { ProblemError, UnreachableError } from './problem'
import type { List, Problem } from './types'

const base = '/api/v2'

export interface Options {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  body?: unknown
  /** Sent as it is, with this content type; `body` is ignored. */
  raw?: { type: string; text: string }
  /** The revision that was read; becomes If-Match. "*" is any, for what has no revisions. */
  revision?: number | '*'
  /** Names the click, so that it can be followed to the agent. One is made if there is none. */
  requestID?: string
  idempotencyKey?: string
  signal?: AbortSignal
}

/** A random id, also where crypto.randomUUID is missing because the page came over plain HTTP. */
export function newID(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID()
  const b = crypto.getRandomValues(new Uint8Array(16))
  b[6] = (b[6]! & 0x0f) | 0x40
  b[8] = (b[8]! & 0x3f) | 0x80
  const hex = Array.from(b, (n) => n.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

function cookie(name: string): string {
  const found = document.cookie.split('; ').find((c) => c.startsWith(name + '='))
  return found ? decodeURIComponent(found.slice(name.length + 1)) : ''
}

type Hook = (err: ProblemError | UnreachableError | null) => void
let hook: Hook = () => {}

/** Sets who hears of every outcome: null after an answer, the error otherwise. */
export function onOutcome(h: Hook): void {
  hook = h
}

/** Sends one request. Throws ProblemError for an answer that says no, UnreachableError when none came. */
export async function request<T>(path: string, o: Options = {}): Promise<T> {
  const method = o.method ?? 'GET'
  const headers: Record<string, string> = { Accept: 'application/json, application/problem+json' }
  const requestID = o.requestID ?? newID()
  headers['X-Request-ID'] = requestID
  let body: string | undefined
  if (o.raw) {
    headers['Content-Type'] = o.raw.type
    body = o.raw.text
  } else if (o.body !== undefined) {
    headers['Content-Type'] = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    body = JSON.stringify(o.body)
  }
  if (method !== 'GET') {
    const csrf = cookie('smbgw_csrf')
    if (csrf) headers['X-CSRF-Token'] = csrf
    if (method === 'POST') headers['Idempotency-Key'] = o.idempotencyKey ?? requestID
    if (o.revision !== undefined) headers['If-Match'] = o.revision === '*' ? '*' : `"${o.revision}"`
  }

  let res: Response
  try {
    res = await fetch(base + path, { method, headers, body, signal: o.signal, credentials: 'same-origin' })
  } catch (err) {
    if (o.signal?.aborted) throw err
    const lost = new UnreachableError(requestID)
    hook(lost)
    throw lost
  }
  const text = await res.text()
  let data: unknown
  try {
    data = text ? JSON.parse(text) : undefined
  } catch {
    data = undefined
  }
  if (!res.ok) {
    const id = res.headers.get('X-Request-ID') ?? requestID
    // A gateway in between that cannot reach the server answers with no problem document of ours.
    const foreign = !(data && typeof data === 'object')
    if (foreign && [502, 503, 504].includes(res.status)) {
      const lost = new UnreachableError(id)
      hook(lost)
      throw lost
    }
    const problem = (foreign ? { status: res.status, title: res.statusText } : data) as Problem
    const err = new ProblemError({ ...problem, status: res.status }, problem.requestID ?? id)
    hook(err)
    throw err
  }
  hook(null)
  return data as T
}

/** The query string of a list request; empty values are left out. */
export function query(params: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(params)) if (v !== undefined && v !== '') q.set(k, String(v))
  const s = q.toString()
  return s ? '?' + s : ''
}

/** Quotes a value for the filter language: `node eq "…"`. */
export const quote = (v: string): string => `"${v.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`

export type ListParams = { q?: string; filter?: string; sort?: string; limit?: number; cursor?: string }
export const list = <T>(path: string, p: ListParams, signal?: AbortSignal): Promise<List<T>> =>
  request<List<T>>(path + query(p), { signal }).then((r) => ({ ...r, items: r.items ?? [] }))
