import { useQuery } from '@tanstack/react-query'
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components/Tabs'
import type { Share } from '../../api/types'
import { t } from '../../i18n'
import { SkeletonLines } from '../../ui/Blank'
import { Code } from '../../ui/Copy'
import { Qr } from '../../ui/Qr'
import { nodeQuery, smbHost } from '../node/api'
import { exampleUser, mountCifs, netUse, smbclient, smbURL, unc } from './connect'

export function ConnectCard({ share: s }: { share?: Share }) {
  const node = useQuery({ ...nodeQuery(s?.node ?? ''), enabled: Boolean(s?.node) })
  if (!s)
    return (
      <section className="card">
        <div className="pad">
          <SkeletonLines />
        </div>
      </section>
    )
  const target = { ...smbHost(node.data, location.hostname), share: s.name, user: exampleUser(s, t.connect.you) }
  const odd = target.port !== 445
  return (
    <section className="card" aria-labelledby="connect">
      <header>
        <h2 id="connect">{t.connect.title}</h2>
      </header>
      <div className="pad connect">
        <Tabs className="tabs grow" defaultSelectedKey={guessSystem()}>
          <TabList aria-label={t.connect.system} className="tab-list">
            <Tab id="windows" className="tab">
              Windows
            </Tab>
            <Tab id="macos" className="tab">
              macOS
            </Tab>
            <Tab id="linux" className="tab">
              Linux
            </Tab>
          </TabList>
          <TabPanel id="windows" className="stack">
            <Labelled label={t.connect.explorer} text={unc(target)} />
            <Labelled label={t.connect.commandLine} text={netUse(target)} />
            {odd && <p className="small muted">{t.connect.windowsPort(target.port)}</p>}
          </TabPanel>
          <TabPanel id="macos" className="stack">
            <Labelled label={t.connect.finder} text={smbURL(target)} />
            <Labelled label={t.connect.terminal} text={`open ${smbURL(target)}`} />
          </TabPanel>
          <TabPanel id="linux" className="stack">
            <Labelled label={t.connect.smbclient} text={smbclient(target)} />
            <Labelled label={t.connect.mount} text={mountCifs(target)} />
          </TabPanel>
        </Tabs>
        <figure className="qr">
          <Qr text={smbURL(target)} label={t.connect.qr(smbURL(target))} />
          <figcaption className="small muted">{t.connect.qrHint}</figcaption>
        </figure>
      </div>
    </section>
  )
}

function Labelled({ label, text }: { label: string; text: string }) {
  return (
    <div className="stack tight">
      <span className="small muted">{label}</span>
      <Code text={text} label={t.common.copyThis(label)} />
    </div>
  )
}

function guessSystem(): string {
  const ua = navigator.userAgent
  if (/Windows/.test(ua)) return 'windows'
  if (/Mac|iPhone|iPad/.test(ua)) return 'macos'
  return 'linux'
}
