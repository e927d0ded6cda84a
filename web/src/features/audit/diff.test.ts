import { expect, test } from 'vitest'
import { diff } from './diff'

test('names what differs, and leaves out bookkeeping', () => {
  const before = { name: 'a', readOnly: true, validUsers: ['x'], revision: 1, updatedAt: '1', parameters: { 'hide dot files': 'yes' } }
  const after = { name: 'a', readOnly: false, validUsers: ['x', 'y'], revision: 2, updatedAt: '2', parameters: {} }
  expect(diff(before, after)).toEqual([
    { path: 'readOnly', before: 'true', after: 'false' },
    { path: 'validUsers', before: 'x', after: 'x, y' },
    { path: 'parameters.hide dot files', before: 'yes', after: undefined },
  ])
})

test('creation and deletion have one side', () => {
  expect(diff(undefined, { name: 'a' })).toEqual([{ path: 'name', before: undefined, after: 'a' }])
  expect(diff({ name: 'a' }, null)).toEqual([{ path: 'name', before: 'a', after: undefined }])
})

test('objects inside lists are compared one by one', () => {
  expect(diff({ l: [{ k: 1 }] }, { l: [{ k: 2 }] })).toEqual([{ path: 'l[0].k', before: '1', after: '2' }])
})
