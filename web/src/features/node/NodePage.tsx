import { useMutation, useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { ChevronLeft, Pencil, ServerOff, Trash2, TriangleAlert } from 'lucide-react'
import { useState } from 'react'
import { newID } from '../../api/http'
import { fieldErrors, isStale, ProblemError } from '../../api/problem'
import type { Node } from '../../api/types'
import { t } from '../../i18n'
import { Blank, ErrorNotice, LoadError, SkeletonLines } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { ConditionsCard } from '../../ui/Conditions'
import { Confirm } from '../../ui/Confirm'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { TextField } from '../../ui/Field'
import { State } from '../../ui/State'
import { Time } from '../../ui/Time'
import { usePageTitle } from '../../ui/title'
import { toast } from '../../ui/toast'
import { History } from '../audit/History'
import { confirmRemovals, deleteNode, nodeQuery, updateNode } from './api'

export function NodePage() {
  const { uid } = useParams({ strict: false }) as { uid: string }
  const node = useQuery(nodeQuery(uid))
  const navigate = useNavigate()
  const [open, setOpen] = useState<'edit' | 'delete' | 'confirm' | null>(null)
  const n = node.data
  usePageTitle(n?.name ?? t.node.one)
  const close = () => setOpen(null)
  if (node.error instanceof ProblemError && node.error.status === 404)
    return (
      <div className="page">
        <Blank
          page
          icon={<ServerOff aria-hidden />}
          title={t.node.gone}
          actions={<Button onPress={() => void navigate({ to: '/nodes' })}>{t.node.toList}</Button>}
        />
      </div>
    )
  if (node.isError && !n)
    return (
      <div className="page">
        <LoadError page error={node.error} retry={() => void node.refetch()} />
      </div>
    )
  return (
    <div className="page">
      <div>
        <Link to="/nodes" className="crumb">
          <ChevronLeft aria-hidden /> {t.node.plural}
        </Link>
        <div className="page-head">
          <div className="titles">
            <div className="row flow">
              <h1>{n?.name ?? '…'}</h1>
              {n && <State of={n.status.phase} />}
            </div>
            {n && (
              <p>
                {t.node.seen} <Time at={n.status.lastSeenAt} />
              </p>
            )}
          </div>
          {n && (
            <div className="row">
              <Button onPress={() => setOpen('edit')}>
                <Pencil aria-hidden /> {t.common.edit}
              </Button>
              <Button onPress={() => setOpen('delete')}>
                <Trash2 aria-hidden /> {t.common.remove}
              </Button>
            </div>
          )}
        </div>
      </div>
      {n && (n.status.held?.length ?? 0) > 0 && (
        <div className="notice busy" role="status">
          <TriangleAlert aria-hidden />
          <div className="grow stack tight">
            <strong>{t.node.heldTitle(n.status.held!.length)}</strong>
            <p>{t.node.heldText}</p>
            <ul className="tags">
              {n.status.held!.slice(0, 40).map((h) => (
                <li key={h} className="tag">
                  {h}
                </li>
              ))}
            </ul>
            <div>
              <Button onPress={() => setOpen('confirm')}>{t.node.confirmRemovals}</Button>
            </div>
          </div>
        </div>
      )}
      <div className="cards">
        <div className="main-col stack loose">
          <ConditionsCard conditions={n?.status.conditions} generation={n?.generation} />
          <section className="card" aria-labelledby="history">
            <header>
              <h2 id="history">{t.share.history}</h2>
            </header>
            <History uid={uid} />
          </section>
        </div>
        <div className="side-col stack loose">
          <FactsCard node={n} />
        </div>
      </div>
      {open === 'edit' && n && <NodeForm node={n} onClose={close} />}
      {open === 'delete' && n && (
        <Confirm
          title={t.node.deleteTitle(n.name)}
          action={t.node.deleteAction}
          typed={{ name: n.name, label: t.share.typeName(n.name) }}
          run={() => deleteNode(n, newID())}
          onDone={() => {
            toast(t.node.deleted(n.name))
            void navigate({ to: '/nodes' })
          }}
          onClose={close}
        >
          <p>{t.node.deleteText}</p>
        </Confirm>
      )}
      {open === 'confirm' && n && (
        <Confirm
          title={t.node.confirmRemovals}
          action={t.node.confirmAction(n.status.held?.length ?? 0)}
          run={() => confirmRemovals(n, newID())}
          onDone={() => toast(t.node.confirmed)}
          onClose={close}
        >
          <p>{t.node.confirmText}</p>
          <p className="wrap">{n.status.held?.join(', ')}</p>
        </Confirm>
      )}
    </div>
  )
}

function FactsCard({ node: n }: { node?: Node }) {
  const facts: [string, React.ReactNode][] = n
    ? [
        [t.node.address, n.address ? `${n.address}:${n.smbPort || 445}` : '—'],
        [t.node.hostname, n.status.hostname || '—'],
        [t.node.os, n.status.os || '—'],
        ['Samba', n.status.sambaVersion || '—'],
        [t.node.agent, n.status.agentVersion || '—'],
        [
          t.node.roots,
          n.shareRoots?.length ? n.shareRoots.map((r) => <div key={r} className="mono small">{r}</div>) : '—',
        ],
        [t.node.backend, n.status.backend || '—'],
        [t.node.nss, n.status.nss || '—'],
        [
          'smbd',
          n.status.smbdPID ? (
            <>
              PID {n.status.smbdPID}, {t.node.since} <Time at={n.status.smbdStarted} />
            </>
          ) : (
            '—'
          ),
        ],
        [t.node.restarts, n.status.smbdRestarts ?? 0],
        [t.node.applied, <span key="r" className="mono small">{n.status.appliedRevision || '—'}</span>],
      ]
    : []
  return (
    <section className="card" aria-labelledby="facts">
      <header>
        <h2 id="facts">{t.node.facts}</h2>
      </header>
      <div className="pad">
        {n ? (
          <dl className="facts">
            {facts.map(([k, v]) => (
              <div key={k} className="contents">
                <dt>{k}</dt>
                <dd>{v}</dd>
              </div>
            ))}
          </dl>
        ) : (
          <SkeletonLines lines={6} />
        )}
      </div>
    </section>
  )
}

function NodeForm({ node, onClose }: { node: Node; onClose: () => void }) {
  const [name, setName] = useState(node.name)
  const [address, setAddress] = useState(node.advertisedAddress ?? '')
  const save = useMutation({
    mutationFn: () => {
      const change: Record<string, unknown> = {}
      if (name !== node.name) change.name = name.trim()
      if (address !== (node.advertisedAddress ?? '')) change.advertisedAddress = address.trim()
      return updateNode(node, change, newID())
    },
    onSuccess: (n) => {
      toast(t.node.saved(n.name))
      onClose()
    },
  })
  const errs = fieldErrors(save.error, ['name', 'advertisedAddress'])
  return (
    <Dialog
      title={t.node.editTitle(node.name)}
      onClose={onClose}
      busy={save.isPending}
      errorCount={Object.keys(errs.fields).length > 0 ? save.submittedAt : 0}
      onSubmit={() => save.mutate()}
      footer={<FormFooter submit={t.common.save} busy={save.isPending} onClose={onClose} />}
    >
      <TextField label={t.node.name} name="name" value={name} onChange={setName} errors={errs.fields.name} required />
      <TextField
        label={t.node.address}
        hint={t.node.addressHint}
        name="advertisedAddress"
        value={address}
        onChange={setAddress}
        errors={errs.fields.advertisedAddress}
        placeholder={node.address}
        optional
      />
      <ErrorNotice error={isStale(save.error) ? new Error(t.error.changedText) : save.error} extra={errs.rest} />
    </Dialog>
  )
}
