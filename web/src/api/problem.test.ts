import { expect, test } from 'vitest'
import { fieldErrors, ProblemError } from './problem'

const err = (errors: { pointer: string; detail: string }[]) => new ProblemError({ status: 422, errors }, 'r')

test('errors land on the field that their pointer begins with', () => {
  const e = err([
    { pointer: '/name', detail: 'taken' },
    { pointer: '/validUsers/0', detail: 'no such user' },
    { pointer: '/validUsers/3', detail: 'no such group' },
    { pointer: '/surprise', detail: 'unknown' },
    { pointer: '', detail: 'all of it' },
  ])
  expect(fieldErrors(e, ['name', 'validUsers'])).toEqual({
    fields: { name: ['taken'], validUsers: ['no such user', 'no such group'] },
    rest: ['unknown', 'all of it'],
  })
})

test('any other error has no fields', () => {
  expect(fieldErrors(new Error('x'), ['name'])).toEqual({ fields: {}, rest: [] })
})
