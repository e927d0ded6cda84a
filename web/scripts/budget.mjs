// Fails the build when the first page needs more JavaScript than its budget, and keeps the placeholder that Go needs.
import { readFileSync, writeFileSync, existsSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const budget = 200 * 1024
const dist = new URL('../dist/', import.meta.url)
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'))

/** All files that one entry loads at once, static imports included. */
function closure(key, seen = new Set()) {
  if (seen.has(key)) return seen
  seen.add(key)
  for (const next of manifest[key].imports ?? []) closure(next, seen)
  return seen
}
const size = (keys) =>
  [...keys].reduce((sum, key) => sum + gzipSync(readFileSync(new URL(manifest[key].file, dist)), { level: 9 }).length, 0)

const entry = Object.keys(manifest).find((key) => manifest[key].isEntry)
const first = closure(entry)
const page = closure('src/features/share/ShareList.tsx', new Set(first))
const kib = (n) => `${(n / 1024).toFixed(1)} KiB`
console.log(`JavaScript, gzipped: entry ${kib(size(first))}, with the share list ${kib(size(page))}, budget ${kib(budget)}`)
if (!existsSync(new URL('.gitkeep', dist))) writeFileSync(new URL('.gitkeep', dist), '')
if (size(page) > budget) {
  console.error('The first page is over its budget.')
  process.exit(1)
}
