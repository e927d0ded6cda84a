// The shapes of /api/v2 as the console uses them.

export interface Meta {
  uid: string
  generation: number
  revision: number
  createdAt: string
  updatedAt: string
}

export type ConditionStatus = 'True' | 'False' | 'Unknown'

export interface Condition {
  type: string
  status: ConditionStatus
  reason: string
  message: string
  observedGeneration: number
  lastTransitionAt: string
}

export interface Check {
  name: string
  as?: string
  ok: boolean
  status?: string
  detail?: string
  millis: number
}

export interface Receipt {
  at: string
  generation: number
  passed: boolean
  client: string
  dialect?: string
  millis: number
  checks?: Check[] | null
}

export type SharePhase = 'Applying' | 'Ready' | 'Failed' | 'Deleting'

export interface ShareSpec {
  name: string
  node?: string
  path?: string
  createPath?: boolean
  comment?: string
  readOnly?: boolean
  browseable?: boolean
  validUsers?: string[]
  readList?: string[]
  writeList?: string[]
  parameters?: Record<string, string>
}

export interface Share extends Meta, ShareSpec {
  node: string
  nodeName: string
  status: {
    phase: SharePhase
    observedGeneration: number
    path?: string
    conditions?: Condition[]
    receipt?: Receipt
  }
}

export interface UserSpec {
  name: string
  fullName?: string
  enabled?: boolean
  password?: string
  groups?: string[]
}

export interface User extends Meta {
  name: string
  fullName?: string
  enabled: boolean
  passwordSet: boolean
  id: number
  groups?: string[]
}

export interface Group extends Meta {
  name: string
  id: number
  members?: string[]
}

export type NodePhase = 'Online' | 'Offline' | 'Fenced' | 'Pending'

export interface Node extends Meta {
  name: string
  shareRoots?: string[]
  /** What a person said; goes before what the agent reports. */
  advertisedAddress?: string
  /** Where clients reach the node. */
  address?: string
  smbPort?: number
  status: {
    phase: NodePhase
    lastSeenAt?: string
    hostname?: string
    agentVersion?: string
    sambaVersion?: string
    os?: string
    backend?: string
    nss?: string
    smbdPID?: number
    smbdStarted?: string
    smbdRestarts?: number
    appliedRevision?: string
    held?: string[]
    conditions?: Condition[]
  }
}

export interface Enrolment {
  uid: string
  token: string
  expiresAt: string
  server: string
  command: string
  fingerprint: string
}

export type TaskState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled'

export interface Task extends Meta {
  kind: string
  title: string
  state: TaskState
  done: number
  failed: number
  total: number
  message?: string
  startedBy?: string
  startedAt?: string
  finishedAt?: string
  items?: { name: string; ok: boolean; detail?: string }[]
}

export interface AuditEntry {
  seq: number
  at: string
  actor: { kind: string; name: string }
  remoteAddr?: string
  requestID?: string
  action: string
  kind: string
  uid?: string
  name?: string
  before?: unknown
  after?: unknown
  hash?: string
}

export interface Me {
  uid: string
  name: string
  kind: string
  role?: string
  privileges?: string[]
}

export interface Token extends Meta {
  name: string
  privileges?: string[]
  expiresAt?: string
  lastUsedAt?: string
  owner?: string
  /** In the answer to the POST only. */
  secret?: string
}

export interface WebSession {
  uid: string
  createdAt: string
  lastSeenAt?: string
  expiresAt?: string
  remoteAddr?: string
  userAgent?: string
  current?: boolean
}

export interface List<T> {
  items: T[]
  nextCursor?: string
  total: number
}

export interface Problem {
  type?: string
  title?: string
  status: number
  code?: string
  detail?: string
  errors?: { pointer: string; code?: string; detail: string }[]
  retryable?: boolean
  requestID?: string
}

export interface LiveEvent {
  seq?: number
  type: string
  kind?: string
  uid?: string
  name?: string
  revision?: number
  at?: string
  requestID?: string
  cursor?: number
}
