// A stand-in for the server in the dev server: enough to look at pages, no proof of anything. Never part of the build.
// The query string "?state=" of a list, or the cookie "mock=", makes odd cases: empty, loading, error, setup, login.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Plugin } from 'vite'
import type { Share } from '../src/api/types'
import * as f from './fixtures.ts'

type Obj = { uid: string; name?: string; revision?: number; generation?: number; updatedAt?: string }
let seq = 100
const streams = new Set<ServerResponse>()

function emit(type: string, o: Obj): void {
  const kind = type.split('.')[0]
  const e = { seq: ++seq, type, kind, uid: o.uid, name: o.name, revision: o.revision, at: f.iso(0) }
  for (const s of streams) s.write(`id: ${seq}\ndata: ${JSON.stringify(e)}\n\n`)
}

const send = (res: ServerResponse, status: number, body?: unknown) => {
  res.statusCode = status
  res.setHeader('Content-Type', status >= 400 ? 'application/problem+json' : 'application/json')
  res.end(body === undefined ? '' : JSON.stringify(body))
}
const problem = (res: ServerResponse, status: number, code: string, detail: string, errors?: unknown) =>
  send(res, status, { status, code, detail, errors, requestID: '0b6b1f0e-52b5-4f0c-9c39-0c1f5b3d7a11' })

function later(s: Share): void {
  setTimeout(() => {
    f.settle(s, s.name.startsWith('bad') ? 'Failed' : 'Ready')
    s.revision++
    emit('share.status', s)
  }, 900)
}

const rooms: Record<string, Obj[]> = {
  shares: f.shares as Obj[],
  users: f.users as Obj[],
  groups: f.groups as Obj[],
  nodes: f.nodes as Obj[],
  tasks: f.tasks as Obj[],
  tokens: f.tokens as Obj[],
}

async function body(req: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = []
  for await (const c of req) parts.push(c as Buffer)
  const text = Buffer.concat(parts).toString()
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return { text }
  }
}

function page(res: ServerResponse, all: Obj[], url: URL, odd: string) {
  if (odd === 'error') return problem(res, 500, 'internal', 'The database is locked.')
  const q = (url.searchParams.get('q') ?? '').toLowerCase()
  const filter = url.searchParams.get('filter') ?? ''
  let items = odd === 'empty' ? [] : all.filter((o) => JSON.stringify(o).toLowerCase().includes(q))
  const ready = /ready eq "(\w+)"/.exec(filter)?.[1]
  if (ready) items = items.filter((o) => ({ True: 'Ready', False: 'Failed', Unknown: 'Applying' })[ready] === (o as Share).status.phase)
  for (const key of ['uid', 'kind']) {
    const v = new RegExp(`\\b${key} eq "([^"]+)"`).exec(filter)?.[1]
    if (v) items = items.filter((o) => (o as unknown as Record<string, unknown>)[key] === v)
  }
  const sort = url.searchParams.get('sort') ?? 'name'
  const key = sort.replace(/^-/, '')
  const at = (o: Obj) => String((o as unknown as Record<string, unknown>)[key] ?? '')
  items = [...items].sort((a, b) => at(a).localeCompare(at(b), 'en', { numeric: true }) * (sort.startsWith('-') ? -1 : 1))
  const from = Number(url.searchParams.get('cursor') ?? 0)
  const limit = Number(url.searchParams.get('limit') ?? 50)
  const next = from + limit < items.length ? String(from + limit) : undefined
  send(res, 200, { items: items.slice(from, from + limit), nextCursor: next, total: items.length })
}

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = new URL(req.url ?? '/', 'http://x')
  const path = url.pathname
  const odd = /(?:^|; )mock=(\w+)/.exec(req.headers.cookie ?? '')?.[1] ?? ''
  const method = req.method ?? 'GET'
  if (path === '/live/events') {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
    res.write(`data: ${JSON.stringify({ type: 'hello', cursor: seq })}\n\n`)
    streams.add(res)
    req.on('close', () => streams.delete(res))
    return
  }
  if (odd === 'loading' && method === 'GET' && !path.startsWith('/auth')) return
  if (path === '/health') return send(res, 200, { status: 'ok' })
  if (path === '/auth/status') return send(res, 200, { setupRequired: odd === 'setup' })
  if (path === '/auth/me')
    return odd === 'setup' || odd === 'login' ? problem(res, 401, 'auth.required', 'Log in first.') : send(res, 200, { uid: 'u', name: 'admin', kind: 'account', role: 'administrator', privileges: ['Share.Audit', 'Share.Modify', 'Identity.Audit', 'Identity.Modify', 'Node.Audit', 'Node.Modify'] })
  if (path === '/auth/login') return problem(res, 401, 'auth.wrong', 'Name or password is wrong.')
  if (path === '/auth/sessions') return send(res, 200, { items: f.sessions, total: f.sessions.length })
  if (path.startsWith('/auth/')) return send(res, 204)
  if (path === '/audit/verify') return send(res, 200, { ok: true, entries: f.audit.length })
  if (path === '/audit') return page(res, f.audit as unknown as Obj[], url, odd)
  if (path === '/nodes/enrolments') {
    await body(req)
    return send(res, 201, {
      token: 'K7QX-29PM',
      expiresAt: f.iso(-3600),
      fingerprint: 'sha256:5e:0a:91:4c:77:b2:d0:13:aa:48:9e:61:0f:c3:88:25',
      command: 'smbgw agent --server https://files.example.net:8443 --token K7QX-29PM-V4TD --fingerprint sha256:5e0a914c77b2d013aa489e610fc38825',
    })
  }
  if (path === '/users/import') {
    await body(req)
    return send(res, 202, { taskUID: f.tasks[0]!.uid })
  }
  const [, room = '', id, verb] = path.split('/')
  const all = rooms[room]
  if (!all) return problem(res, 404, 'not_found', 'There is no such path.')
  if (!id) {
    if (method === 'GET') return page(res, all, url, odd)
    const b = await body(req)
    const name = String(b.name ?? '')
    if (all.some((o) => o.name?.toLowerCase() === name.toLowerCase()))
      return problem(res, 409, 'share.name_taken', 'The name is taken.', [{ pointer: '/name', code: 'share.name_taken', detail: `There already is one called ${name}.` }])
    const kind = room.slice(0, -1)
    const o = { ...f.meta(kind, 0), enabled: true, passwordSet: true, id: 20_000 + all.length, ...b } as Obj
    if (room === 'shares') {
      const s = o as Share
      s.node ||= f.nodes[0]!.uid
      s.nodeName = f.nodes.find((n) => n.uid === s.node)?.name ?? ''
      s.status = { phase: 'Applying', observedGeneration: 0, conditions: [] }
      later(s)
    }
    if (room === 'tokens') Object.assign(o, { secret: 'smbgw_pat_8kq2v7n5c1x9z3m4' })
    all.push(o)
    emit(kind + '.created', o)
    return send(res, 201, o)
  }
  const o = all.find((x) => x.uid === id)
  if (!o) return problem(res, 404, 'not_found', 'There is no such object.')
  const kind = room.slice(0, -1)
  if (verb) return send(res, 204)
  if (method === 'GET') return send(res, 200, o)
  if (method === 'DELETE') {
    all.splice(all.indexOf(o), 1)
    emit(kind + '.deleted', o)
    return send(res, 202, o)
  }
  const b = await body(req)
  if (req.headers['if-match'] !== `"${o.revision}"`) return problem(res, 412, 'stale', 'It was changed meanwhile.')
  Object.assign(o, b, { revision: (o.revision ?? 0) + 1, generation: (o.generation ?? 0) + 1, updatedAt: f.iso(0) })
  if (room === 'shares') {
    ;(o as Share).status.phase = 'Applying'
    later(o as Share)
  }
  emit(kind + '.changed', o)
  send(res, 200, o)
}

export function mockServer(): Plugin {
  return {
    name: 'smbgw-fixtures',
    configureServer(server) {
      // Only the SSE fallback is played; a WebSocket is refused at once.
      server.httpServer?.prependListener('upgrade', (req, socket) => {
        if (req.url?.startsWith('/api/')) socket.destroy()
      })
      server.middlewares.use('/api/v2', (req, res) => void handle(req, res))
    },
  }
}
