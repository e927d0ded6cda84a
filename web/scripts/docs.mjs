// Puts the page at /api/docs into the build: our index.html and Stoplight Elements, which is one self-contained bundle. It
// is fetched as a single package and checked by its hash, because its declared dependencies are built into the bundle.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const name = '@stoplight/elements@9.0.25'
const integrity = 'sha512-rDbNsgSCNo74lyV57cBzym+8F68/R2j7UPq4r3w5qK608vX8APNJhTq+2MkbTjsM3bUhFIoRdI225tlI85KpCA=='
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url))

const cache = path('../node_modules/.cache/elements/')
const tarball = cache + 'stoplight-elements-9.0.25.tgz'
mkdirSync(cache, { recursive: true })
if (!existsSync(tarball)) execFileSync('npm', ['pack', name, '--silent', '--pack-destination', cache])
const hash = 'sha512-' + createHash('sha512').update(readFileSync(tarball)).digest('base64')
if (hash !== integrity) {
  rmSync(tarball)
  throw new Error(`${name} is not what was pinned: ${hash}`)
}
const out = path('../dist/docs/')
mkdirSync(out, { recursive: true })
execFileSync('tar', ['-xzf', tarball, '-C', out, '--strip-components=1',
  'package/web-components.min.js', 'package/web-components.min.js.LICENSE.txt', 'package/styles.min.css', 'package/LICENSE'])
cpSync(path('../docs/'), out, { recursive: true })
