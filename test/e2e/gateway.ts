// Starts the real product for a test: `smbgw up` with a private Samba, in a directory of its own, on free ports.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const binary = resolve(process.env.SMBGW_BIN ?? join(__dirname, '../../bin/smbgw'))

export const admin = { name: 'admin', password: 'a rather long passphrase' }

async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const s = createServer()
    s.once('error', fail)
    s.listen(0, '127.0.0.1', () => {
      const port = (s.address() as { port: number }).port
      s.close(() => done(port))
    })
  })
}

export class Gateway {
  private process: ChildProcess | undefined
  private output = ''
  private constructor(
    readonly dir: string,
    readonly port: number,
    readonly smbPort: number,
  ) {}

  static async start(): Promise<Gateway> {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run make build`)
    const dir = await mkdtemp(join(tmpdir(), 'smbgw-e2e-'))
    await chmod(dir, 0o755) // files of shares belong to an account of their own
    const g = new Gateway(dir, await freePort(), await freePort())
    await g.up()
    return g
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`
  }
  get root(): string {
    return join(this.dir, 'files')
  }
  /** The address that the server prints for the first login. */
  get setupURL(): string {
    const m = /https:\/\/\S+#\/setup\?code=\S+/.exec(this.output)
    if (!m) throw new Error('no set-up address in the output:\n' + this.output)
    return m[0]
  }

  /** Starts the server; again after `down`, with the same data and ports. */
  async up(): Promise<void> {
    this.output = ''
    const p = spawn(
      binary,
      ['up', '--dir', join(this.dir, 'var'), '--listen', `127.0.0.1:${this.port}`, '--smb-port', String(this.smbPort), '--share-root', this.root],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    this.process = p
    for (const s of [p.stdout, p.stderr]) s.on('data', (d: Buffer) => (this.output += d.toString()))
    for (let i = 0; i < 300; i++) {
      if (p.exitCode !== null) throw new Error(`smbgw ended with ${p.exitCode}:\n${this.output}`)
      // The banner comes once everything listens.
      if (this.output.includes('Ctrl-C')) return
      await new Promise((r) => setTimeout(r, 100))
    }
    throw new Error('smbgw did not start in 30 s:\n' + this.output)
  }

  /** Stops server, agent and Samba, and waits until they are gone. */
  async down(): Promise<void> {
    const p = this.process
    if (!p || p.exitCode !== null) return
    const gone = new Promise((r) => p.once('exit', r))
    p.kill('SIGTERM')
    const timer = setTimeout(() => p.kill('SIGKILL'), 15_000)
    await gone
    clearTimeout(timer)
  }

  async stop(): Promise<void> {
    await this.down()
    await rm(this.dir, { recursive: true, force: true })
  }

  /** Runs commands in a share with the real smbclient; rejects with its output when it fails. */
  async smbclient(share: string, user: string, password: string, commands: string): Promise<string> {
    let out: string
    try {
      // The password goes by the environment: arguments are for all to see.
      const { stdout } = await run(
        'smbclient',
        [`//127.0.0.1/${share}`, '-p', String(this.smbPort), '-U', user, '-c', commands],
        { env: { ...process.env, PASSWD: password }, timeout: 20_000 },
      )
      out = stdout
    } catch (err) {
      const { stdout, stderr } = err as { stdout?: string; stderr?: string } // it says NT_STATUS_… on either
      throw new Error(`smbclient: ${stdout}${stderr}`)
    }
    // Some commands, mkdir among them, fail with exit status 0.
    if (out.includes('NT_STATUS_')) throw new Error(`smbclient: ${out}`)
    return out
  }
}
