import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { components } from './schema.gen'
import type * as own from './types'

type Schemas = components['schemas']

/** Paths at which the console expects what the server does not promise: a property that is missing, of another type, or
 * that may be absent or null where the console says it is there. */
type Wrong<Own, API, Path extends string> = unknown extends Own
  ? never
  : [Own] extends [readonly (infer O)[]]
    ? [API] extends [readonly (infer A)[]] ? Wrong<O, A, `${Path}[]`> : Path
    : [Own] extends [object]
      ? [API] extends [object]
        ? { [K in keyof Own & string]-?: K extends keyof API ? Property<Own[K], API[K], `${Path}.${K}`> : `${Path}.${K} is missing` }[keyof Own & string]
        : Path
      : [API] extends [Own] ? never : Path

type Property<Own, API, Path extends string> =
  | ([Extract<API, undefined | null>] extends [never] ? never : [Extract<Own, undefined | null>] extends [never] ? `${Path} may be absent` : never)
  | Wrong<NonNullable<Own>, NonNullable<API>, Path>

type Answers =
  // Answers always name the node; the description shares its properties with what is sent, where it may be left out.
  | Exclude<Wrong<own.Share, Schemas['Share'], 'Share'>, 'Share.node may be absent'>
  | Wrong<own.User, Schemas['IdentityUser'], 'User'>
  | Wrong<own.Group, Schemas['IdentityGroup'], 'Group'>
  | Wrong<own.Node, Schemas['Node'], 'Node'>
  | Wrong<own.Enrolment, Schemas['NodeNewEnrolment'], 'Enrolment'>
  | Wrong<own.Task, Schemas['Task'], 'Task'>
  | Wrong<own.AuditEntry, Schemas['AuditEntry'], 'AuditEntry'>
  | Wrong<own.Me, Schemas['AuthMe'], 'Me'>
  | Wrong<own.Token, Schemas['AuthToken'], 'Token'>
  | Wrong<own.WebSession, Schemas['AuthSession'], 'WebSession'>
  | Wrong<own.List<own.User>, Schemas['PageUser'], 'List'>
  | Wrong<own.Problem, Schemas['Problem'], 'Problem'>

type Bodies =
  | Exclude<keyof own.ShareSpec, keyof Schemas['ShareSpec']>
  | Exclude<keyof own.UserSpec, keyof Schemas['IdentityUserSpec']>

// The compiler checks these two lines (npm run lint, npm run build); its message names what differs.
const none: [Answers, Bodies] extends [never, never] ? 'none' : Answers | Bodies = 'none'
const found: Wrong<{ name: string; nodeName?: string; node: string; colour: string; generation: string }, Schemas['Share'], 'Share'>[] = [
  'Share.colour is missing',
  'Share.generation',
  'Share.node may be absent',
]

test('the types made from the API are those of api/openapi.json', () => {
  expect(none).toBe('none')
  expect(found).toHaveLength(3)
  const made = execFileSync('node_modules/.bin/openapi-typescript', ['../api/openapi.json'], { encoding: 'utf8' })
  expect(made === readFileSync('src/api/schema.gen.ts', 'utf8'), 'run make generate').toBe(true)
})
