// Made-up data for looking at the console without a server. Never part of the build.
import type { AuditEntry, Condition, Group, Node, Receipt, Share, Task, Token, User, WebSession } from '../src/api/types'

export const now = Date.now()
export const iso = (secondsAgo: number): string => new Date(Date.now() - secondsAgo * 1000).toISOString()
let n = 0
export const uid = (kind: string): string => `${kind}-${String(++n).padStart(6, '0')}`
export const meta = (kind: string, age: number) => ({
  uid: uid(kind),
  generation: 1,
  revision: 3,
  createdAt: iso(age * 2),
  updatedAt: iso(age),
})
const cond = (type: string, status: Condition['status'], reason: string, message: string): Condition => ({
  type,
  status,
  reason,
  message,
  observedGeneration: 1,
  lastTransitionAt: iso(3700),
})

export const receipt = (generation = 1, passed = true): Receipt => ({
  at: iso(42),
  generation,
  passed,
  client: 'go-smb2 (cloudsoda)',
  dialect: 'SMB 3.1.1',
  millis: 38.4,
  checks: [
    { name: 'connect', as: 'alice', ok: true, millis: 12.1 },
    { name: 'list', as: 'alice', ok: true, millis: 2.2 },
    { name: 'write', as: 'alice', ok: passed, status: passed ? '' : 'STATUS_ACCESS_DENIED', detail: passed ? '' : 'the file system does not let the share owner write', millis: 4.6 },
    { name: 'readBack', as: 'alice', ok: passed, millis: 1.9 },
    { name: 'delete', as: 'alice', ok: passed, millis: 1.2 },
    { name: 'strangerRefused', as: 'smbgw-stranger', ok: true, status: 'STATUS_ACCESS_DENIED', millis: 9.8 },
    { name: 'anonymousRefused', ok: true, status: 'STATUS_ACCESS_DENIED', millis: 6.6 },
  ],
})

export function settle(s: Share, phase: 'Ready' | 'Failed'): void {
  s.status.phase = phase
  s.status.observedGeneration = s.generation
  s.status.path = s.path || `/srv/smb/${s.name}`
  s.status.receipt = receipt(s.generation, phase === 'Ready')
  s.status.conditions =
    phase === 'Ready'
      ? [
          cond('Ready', 'True', 'probe.passed', 'A real client has just used the share.'),
          cond('Applied', 'True', 'applied', 'The node’s Samba holds this share.'),
          cond('InSync', 'True', 'in_sync', ''),
        ]
      : [
          cond('Ready', 'False', 'probe.failed', 'alice cannot write: the folder belongs to root. Give it to the share owner with chown smbgw.'),
          cond('Applied', 'True', 'applied', 'The node’s Samba holds this share.'),
          cond('InSync', 'True', 'in_sync', ''),
        ]
}

export const nodes: Node[] = [
  {
    ...meta('node', 86_400 * 30),
    name: 'pve-files',
    shareRoots: ['/srv/smb', '/mnt/tank/shares'],
    address: 'files.example.net',
    smbPort: 445,
    status: {
      phase: 'Online',
      lastSeenAt: iso(4),
      hostname: 'pve-files',
      agentVersion: '0.1.0',
      sambaVersion: '4.17.12-Debian',
      os: 'Debian GNU/Linux 12 (bookworm)',
      backend: 'registry',
      nss: 'extrausers',
      smbdPID: 2214,
      smbdStarted: iso(86_400 * 6),
      smbdRestarts: 0,
      appliedRevision: '4f0c:218',
      held: ['old-projects', 'scans-2019'],
      conditions: [
        cond('Ready', 'True', 'agent.live', 'The agent is connected and Samba is running.'),
        cond('InSync', 'True', 'in_sync', ''),
        cond('Degraded', 'True', 'removals.held', 'Two shares that are no longer wanted are kept until you confirm.'),
      ],
    },
  },
  {
    ...meta('node', 86_400 * 3),
    name: 'backup-ct',
    shareRoots: ['/srv/smb'],
    address: '192.0.2.18',
    smbPort: 1445,
    status: {
      phase: 'Offline',
      lastSeenAt: iso(5400),
      hostname: 'backup-ct',
      agentVersion: '0.1.0',
      sambaVersion: '4.17.12-Debian',
      os: 'Debian GNU/Linux 12 (bookworm)',
      backend: 'registry',
      nss: 'extrausers',
      smbdRestarts: 2,
      appliedRevision: '4f0c:207',
      conditions: [cond('Ready', 'False', 'agent.gone', 'The agent has not been heard of for 90 minutes. Look whether the container runs.')],
    },
  },
]

const names = ['media', 'projects', 'scans', 'backups', 'photos', 'music', 'engineering', 'accounting', 'design', 'family', 'iso-images', 'public']
export const shares: Share[] = []
const count = Number(process.env.SMBGW_FIXTURES) > 1 ? Number(process.env.SMBGW_FIXTURES) : 36
for (let i = 0; i < count; i++) {
  const node = nodes[i % 7 === 3 ? 1 : 0]!
  const name = i < names.length ? names[i]! : `${names[i % names.length]}-${Math.floor(i / names.length) + 1}`
  const s: Share = {
    ...meta('share', 300 + i * 4200),
    name,
    node: node.uid,
    nodeName: node.name,
    path: i % 5 === 0 ? `/mnt/tank/shares/${name}` : '',
    createPath: true,
    comment: ['Films and series', 'Shared project files', '', 'Nightly copies, one folder per machine', ''][i % 5],
    readOnly: i % 6 === 4,
    browseable: true,
    validUsers: [['alice', '@staff'], [], ['@engineering'], ['bob', 'carol', 'dave', '@accounting', '@management']][i % 4],
    readList: [],
    writeList: i % 6 === 4 ? ['alice'] : [],
    parameters: i % 9 === 0 ? { 'vfs objects': 'streams_xattr', 'hide dot files': 'no' } : {},
    status: { phase: 'Ready', observedGeneration: 1 },
  }
  settle(s, i % 11 === 5 ? 'Failed' : 'Ready')
  if (i % 13 === 7)
    s.status = {
      phase: 'Applying',
      observedGeneration: 0,
      conditions: [cond('Ready', 'Unknown', 'probe.pending', 'Waiting for the node to apply it.')],
    }
  shares.push(s)
}

export const users: User[] = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'scanner', 'veeam'].map((name, i) => ({
  ...meta('user', 500 + i * 90_000),
  name,
  fullName: ['Alice Young', 'Bob Marsh', 'Carol Reyes', 'Dave Okafor', 'Erin Lindqvist', 'Frank Tanaka', 'Grace Novak', 'Heidi Brandt', 'Office scanner', ''][i],
  enabled: i !== 5,
  passwordSet: i !== 6,
  id: 20_000 + i,
  groups: i % 3 === 0 ? ['staff', 'engineering'] : i % 3 === 1 ? ['staff'] : [],
}))
export const groups: Group[] = ['staff', 'engineering', 'accounting', 'management'].map((name, i) => ({
  ...meta('group', 9000 + i * 90_000),
  name,
  id: 50_000 + i,
  members: users.filter((u) => u.groups?.includes(name)).map((u) => u.name),
}))
export const tasks: Task[] = [
  { ...meta('task', 20), kind: 'user.import', failed: 0, title: 'Import of 480 users', state: 'running', done: 312, total: 480, message: '', startedAt: iso(20) },
  {
    ...meta('task', 8000),
    kind: 'user.import',
    failed: 2,
    title: 'Import of 12 users',
    state: 'failed',
    done: 12,
    total: 12,
    message: '2 of 12 users could not be imported.',
    startedAt: iso(8010),
    finishedAt: iso(8000),
    items: [
      { name: 'alice', ok: false, detail: 'The name is taken.' },
      { name: 'x y', ok: false, detail: 'A name has no spaces.' },
      { name: 'zoe', ok: true },
    ],
  },
  { ...meta('task', 90_000), kind: 'user.import', failed: 0, title: 'Import of 6 users', state: 'done', done: 6, total: 6, startedAt: iso(90_004), finishedAt: iso(90_000) },
]
export const audit: AuditEntry[] = shares.slice(0, 30).flatMap((s, i) => [
  {
    seq: i * 2 + 1,
    at: s.createdAt,
    actor: { kind: 'user', name: 'admin' },
    remoteAddr: '192.0.2.44',
    requestID: crypto.randomUUID(),
    action: 'share.created',
    kind: 'share',
    uid: s.uid,
    name: s.name,
    after: { name: s.name, path: s.path, validUsers: s.validUsers, readOnly: false },
    hash: '9f2c41d07b6e5a38c1f0',
  },
  {
    seq: i * 2 + 2,
    at: s.updatedAt,
    actor: { kind: 'token', name: 'terraform' },
    remoteAddr: '2001:db8::7',
    requestID: crypto.randomUUID(),
    action: 'share.changed',
    kind: 'share',
    uid: s.uid,
    name: s.name,
    before: { name: s.name, comment: '', validUsers: ['alice'], readOnly: true },
    after: { name: s.name, comment: s.comment, validUsers: s.validUsers, readOnly: s.readOnly },
    hash: 'b03c5de20a11f47762aa',
  },
])
export const tokens: Token[] = [
  { ...meta('token', 400), createdAt: iso(9e5), name: 'terraform', privileges: ['Share.Audit', 'Share.Modify'], expiresAt: iso(-86_400 * 60), lastUsedAt: iso(400) },
]
export const sessions: WebSession[] = [
  { uid: uid('session'), createdAt: iso(600), remoteAddr: '192.0.2.44', userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Chrome/150', current: true },
  { uid: uid('session'), createdAt: iso(200_000), remoteAddr: '192.0.2.61', userAgent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X) Safari/605' },
]
