import type { Problem } from './types'

/** An answer of the server that says no. Switch on `code`, never on the text. */
export class ProblemError extends Error {
  constructor(
    readonly problem: Problem,
    readonly requestID: string,
  ) {
    super(problem.detail || problem.title || `HTTP ${problem.status}`)
    this.name = 'ProblemError'
  }
  get status(): number {
    return this.problem.status
  }
  get code(): string {
    return this.problem.code ?? ''
  }
}

/** The server could not be reached, so nothing is known about the outcome. */
export class UnreachableError extends Error {
  constructor(readonly requestID: string) {
    super('unreachable')
    this.name = 'UnreachableError'
  }
}

/** Tells whether err is the server's "someone else changed it" (RFC 9110, 412). */
export const isStale = (err: unknown): boolean => err instanceof ProblemError && err.status === 412

/**
 * Sorts a problem's field errors by the first segment of their JSON pointer, which is the name of the form's field:
 * "/validUsers/0" belongs to "validUsers". Errors that point at no known field come back in `rest`.
 */
export function fieldErrors(
  err: unknown,
  fields: readonly string[],
): { fields: Record<string, string[]>; rest: string[] } {
  const out: { fields: Record<string, string[]>; rest: string[] } = { fields: {}, rest: [] }
  if (!(err instanceof ProblemError)) return out
  for (const e of err.problem.errors ?? []) {
    const segments = e.pointer.replace(/^#?\/?/, '').split('/')
    // huma points into the body as "body.name"; both forms mean the same field.
    const name = (segments[0] ?? '').replace(/^body\.?/, '').split(/[.[]/)[0] ?? ''
    const decoded = name.replaceAll('~1', '/').replaceAll('~0', '~')
    if (fields.includes(decoded)) (out.fields[decoded] ??= []).push(e.detail)
    else out.rest.push(e.detail)
  }
  return out
}
