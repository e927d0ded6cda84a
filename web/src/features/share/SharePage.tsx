import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { ChevronLeft, CircleCheck, CircleX, FolderX, Pencil, ShieldCheck, Trash2 } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components/Tabs'
import { ProblemError } from '../../api/problem'
import type { Check, Receipt, Share } from '../../api/types'
import { t } from '../../i18n'
import { Blank, LoadError, SkeletonLines } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Code } from '../../ui/Copy'
import { State } from '../../ui/State'
import { exact, millis, Time } from '../../ui/Time'
import { announce } from '../../ui/announce'
import { usePageTitle } from '../../ui/title'
import { History } from '../audit/History'
import { ConditionsCard } from '../../ui/Conditions'
import { shareQuery, specOf } from './api'
import { toCommand, toYAML } from './connect'
import { ConnectCard } from './ConnectCard'
import { DeleteShare } from './DeleteShare'
import { ShareForm } from './ShareForm'

export function SharePage() {
  const { uid } = useParams({ strict: false }) as { uid: string }
  const share = useQuery(shareQuery(uid))
  const navigate = useNavigate()
  const [open, setOpen] = useState<'edit' | 'delete' | null>(null)
  const s = share.data
  usePageTitle(s?.name ?? t.share.one)
  useAnnounceState(s)

  const gone = share.error instanceof ProblemError && share.error.status === 404
  if (gone)
    return (
      <div className="page">
        <Blank
          page
          icon={<FolderX aria-hidden />}
          title={s ? t.share.goneNamed(s.name) : t.share.gone}
          actions={<Button onPress={() => void navigate({ to: '/shares' })}>{t.share.toList}</Button>}
        >
          {s?.status.path && t.share.goneFiles(s.status.path)}
        </Blank>
      </div>
    )
  if (share.isError && !s)
    return (
      <div className="page">
        <LoadError page error={share.error} retry={() => void share.refetch()} />
      </div>
    )
  return (
    <div className="page">
      <div>
        <Link to="/shares" className="crumb">
          <ChevronLeft aria-hidden /> {t.share.plural}
        </Link>
        <div className="page-head">
          <div className="titles">
            <div className="row flow">
              <h1>{s?.name ?? '…'}</h1>
              {s && <State of={s.status.phase} />}
            </div>
            {s?.comment && <p className="wrap">{s.comment}</p>}
          </div>
          {s && s.status.phase !== 'Deleting' && (
            <div className="row">
              <Button onPress={() => setOpen('edit')}>
                <Pencil aria-hidden /> {t.common.edit}
              </Button>
              <Button onPress={() => setOpen('delete')}>
                <Trash2 aria-hidden /> {t.common.delete}
              </Button>
            </div>
          )}
        </div>
      </div>
      <div className="cards">
        <div className="main-col stack loose">
          <ConnectCard share={s} />
          <ReceiptCard share={s} receipt={s?.status.receipt} />
          <section className="card" aria-labelledby="history">
            <header>
              <h2 id="history">{t.share.history}</h2>
            </header>
            <History uid={uid} />
          </section>
        </div>
        <div className="side-col stack loose">
          <ConditionsCard conditions={s?.status.conditions} generation={s?.generation} />
          <SpecCard share={s} />
        </div>
      </div>
      {open === 'edit' && s && <ShareForm share={s} onClose={() => setOpen(null)} />}
      {open === 'delete' && s && (
        <DeleteShare share={s} onClose={() => setOpen(null)} onGone={() => void navigate({ to: '/shares' })} />
      )}
    </div>
  )
}

function useAnnounceState(s?: Share) {
  const before = useRef<string>(undefined)
  const phase = s?.status.phase
  useEffect(() => {
    if (before.current && phase && before.current !== phase && s) announce(t.share.nowState(s.name, t.states[phase]))
    before.current = phase
  }, [phase, s])
}

function ReceiptCard({ share: s, receipt: r }: { share?: Share; receipt?: Receipt }) {
  const names = t.receipt.checks as Record<string, string>
  const line = (c: Check) => (
    <li key={c.name + (c.as ?? '')} className="check-row">
      {c.ok ? <CircleCheck className="good-text" aria-hidden /> : <CircleX className="bad-text" aria-hidden />}
      <div className="grow">
        <span>{names[c.name] ?? c.name}</span>
        <span className="sr-only"> {c.ok ? t.receipt.held : t.receipt.failed} </span>
        {c.as && <span className="muted"> {t.receipt.as(c.as)}</span>}
        {(!c.ok || /Refused$/.test(c.name)) && c.status && <span className="small mono muted"> {c.status}</span>}
        {!c.ok && c.detail && <p className="small bad-text wrap">{c.detail}</p>}
      </div>
      <span className="muted small num">{millis(c.millis)}</span>
    </li>
  )
  return (
    <section className="card" aria-labelledby="receipt">
      <header>
        <h2 id="receipt">{t.receipt.title}</h2>
        {r && (
          <p>
            <Time at={r.at} />
          </p>
        )}
      </header>
      {!s ? (
        <div className="pad">
          <SkeletonLines lines={5} />
        </div>
      ) : !r ? (
        <Blank icon={<ShieldCheck aria-hidden />} title={t.receipt.none}>
          {t.receipt.noneHint}
        </Blank>
      ) : (
        <>
          {r.generation < s.generation && <p className="pad busy-text">{t.receipt.old}</p>}
          <ul className="checks">{r.checks?.map(line)}</ul>
          <p className="receipt-foot small muted">
            {exact(r.at)} · {r.client}
            {r.dialect && ` · ${r.dialect}`} · {t.receipt.took(millis(r.millis))}
          </p>
        </>
      )}
    </section>
  )
}

function SpecCard({ share: s }: { share?: Share }) {
  return (
    <section className="card" aria-labelledby="spec">
      <header>
        <h2 id="spec">{t.share.settings}</h2>
      </header>
      <div className="pad">
        {!s ? (
          <SkeletonLines />
        ) : (
          <div className="stack loose">
            <dl className="facts">
              <dt>{t.node.one}</dt>
              <dd>
                <Link to="/nodes/$uid" params={{ uid: s.node }}>
                  {s.nodeName || s.node}
                </Link>
              </dd>
              <dt>{t.share.path}</dt>
              <dd className="mono small">{s.status.path || s.path || '—'}</dd>
              <dt>{t.share.access}</dt>
              <dd>{s.validUsers?.length ? s.validUsers.join(', ') : t.share.everyone}</dd>
              <dt>{t.share.writing}</dt>
              <dd>{s.readOnly ? t.share.writingNo : t.share.writingYes}</dd>
              {s.readList && s.readList.length > 0 && (
                <>
                  <dt>{t.share.readList}</dt>
                  <dd>{s.readList.join(', ')}</dd>
                </>
              )}
              {s.writeList && s.writeList.length > 0 && (
                <>
                  <dt>{t.share.writeList}</dt>
                  <dd>{s.writeList.join(', ')}</dd>
                </>
              )}
              {Object.entries(s.parameters ?? {}).map(([k, v]) => (
                <div key={k} className="contents">
                  <dt className="mono small">{k}</dt>
                  <dd className="mono small">{v}</dd>
                </div>
              ))}
              <dt>{t.common.created}</dt>
              <dd>
                <Time at={s.createdAt} />
              </dd>
            </dl>
            <Tabs className="tabs">
              <TabList aria-label={t.share.asCode} className="tab-list">
                <Tab id="yaml" className="tab">
                  YAML
                </Tab>
                <Tab id="cli" className="tab">
                  {t.share.command}
                </Tab>
              </TabList>
              <TabPanel id="yaml">
                <Code text={toYAML(specOf(s), s.nodeName)} label={t.common.copyThis('YAML')} />
              </TabPanel>
              <TabPanel id="cli">
                <Code text={toCommand(specOf(s), s.nodeName)} label={t.common.copyThis(t.share.command)} />
              </TabPanel>
            </Tabs>
          </div>
        )}
      </div>
    </section>
  )
}
