import { expect, test } from 'vitest'
import { csvRows, makePassword } from './api'

test('rows of an import are counted without heading, BOM and empty lines', () => {
  expect(csvRows('\uFEFFname;password\r\nalice;x\r\n\r\nbob;y\r\n')).toBe(2)
  expect(csvRows('alice;x;Alice;staff\n')).toBe(1)
  expect(csvRows('')).toBe(0)
})

test('made passwords are long, differ, and use every letter about equally often', () => {
  const seen = new Map<string, number>()
  const all = new Set<string>()
  for (let i = 0; i < 2000; i++) {
    const p = makePassword()
    expect(p).toMatch(/^[a-zA-Z2-9]{5}(-[a-zA-Z2-9]{5}){3}$/)
    all.add(p)
    for (const c of p.replaceAll('-', '')) seen.set(c, (seen.get(c) ?? 0) + 1)
  }
  expect(all.size).toBe(2000)
  const counts = [...seen.values()]
  expect(seen.size).toBe(56)
  expect(Math.max(...counts) / Math.min(...counts)).toBeLessThan(1.5)
})
