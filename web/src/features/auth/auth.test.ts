import { expect, test } from 'vitest'
import { codeFromHash } from './api'
import { safeNext } from './next'

test('the bootstrap code comes out of the fragment', () => {
  expect(codeFromHash('#/setup?code=AB-12')).toBe('AB-12')
  expect(codeFromHash('#/setup')).toBe('')
  expect(codeFromHash('#/other?code=AB')).toBeUndefined()
  expect(codeFromHash('')).toBeUndefined()
})

test('login leads to pages of ours only', () => {
  expect(safeNext('/shares/1?x=2')).toBe('/shares/1?x=2')
  for (const bad of ['https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)', '/login?next=/', undefined])
    expect(safeNext(bad)).toBe('/shares')
})
