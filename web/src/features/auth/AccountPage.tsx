import { useMutation, useQuery } from '@tanstack/react-query'
import { KeyRound, Plus } from 'lucide-react'
import { useState } from 'react'
import { Form } from 'react-aria-components/Form'
import { fieldErrors } from '../../api/problem'
import type { Token } from '../../api/types'
import { queryClient } from '../../app/queries'
import { t } from '../../i18n'
import { Blank, ErrorNotice, LoadError, SkeletonLines } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Confirm } from '../../ui/Confirm'
import { TextField } from '../../ui/Field'
import { exact, Time } from '../../ui/Time'
import { usePageTitle } from '../../ui/title'
import { toast, toastError } from '../../ui/toast'
import { changePassword, endSession, meQuery, revokeToken, sessionsQuery, tokensQuery } from './api'
import { TokenForm } from './TokenForm'

export function AccountPage() {
  usePageTitle(t.account.title)
  const me = useQuery(meQuery)
  return (
    <div className="page">
      <div className="page-head">
        <div className="titles">
          <h1>{t.account.title}</h1>
          <p>{me.data?.name}</p>
        </div>
      </div>
      <div className="cards">
        <div className="main-col stack loose">
          <Tokens />
          <Sessions />
        </div>
        <div className="side-col">
          <Password />
        </div>
      </div>
    </div>
  )
}

function Tokens() {
  const tokens = useQuery(tokensQuery)
  const [open, setOpen] = useState<'create' | Token | null>(null)
  const items = tokens.data?.items ?? []
  return (
    <section className="card" aria-labelledby="tokens">
      <header>
        <h2 id="tokens">{t.account.tokens}</h2>
        <Button size="sm" onPress={() => setOpen('create')}>
          <Plus aria-hidden /> {t.account.createToken}
        </Button>
      </header>
      {tokens.isPending ? (
        <div className="pad">
          <SkeletonLines />
        </div>
      ) : tokens.isError && !tokens.data ? (
        <LoadError error={tokens.error} retry={() => void tokens.refetch()} />
      ) : items.length === 0 ? (
        <Blank icon={<KeyRound aria-hidden />} title={t.account.noTokens}>
          {t.account.noTokensHint}
        </Blank>
      ) : (
        <ul className="items">
          {items.map((x) => (
            <li key={x.uid}>
              <div className="grow">
                <div className="name wrap">{x.name}</div>
                <div className="small muted wrap">
                  {x.privileges?.join(', ') || t.account.noPrivileges} ·{' '}
                  {x.expiresAt ? t.account.expires(exact(x.expiresAt)) : t.account.neverExpires} · {t.account.used}{' '}
                  <Time at={x.lastUsedAt} />
                </div>
              </div>
              <Button size="sm" onPress={() => setOpen(x)} aria-label={t.account.revokeNamed(x.name)}>
                {t.account.revoke}
              </Button>
            </li>
          ))}
        </ul>
      )}
      {open === 'create' && <TokenForm onClose={() => setOpen(null)} />}
      {open !== null && open !== 'create' && (
        <Confirm
          title={t.account.revokeTitle(open.name)}
          action={t.account.revoke}
          run={() => revokeToken(open)}
          onDone={() => {
            toast(t.account.revoked(open.name))
            void queryClient.invalidateQueries({ queryKey: ['token'] })
          }}
          onClose={() => setOpen(null)}
        >
          <p>{t.account.revokeText}</p>
        </Confirm>
      )}
    </section>
  )
}

function Sessions() {
  const sessions = useQuery(sessionsQuery)
  const end = useMutation({
    mutationFn: endSession,
    onSuccess: () => {
      toast(t.account.sessionEnded)
      void sessions.refetch()
    },
    onError: toastError,
  })
  return (
    <section className="card" aria-labelledby="sessions">
      <header>
        <h2 id="sessions">{t.account.sessions}</h2>
      </header>
      {sessions.isPending ? (
        <div className="pad">
          <SkeletonLines lines={2} />
        </div>
      ) : sessions.isError && !sessions.data ? (
        <LoadError error={sessions.error} retry={() => void sessions.refetch()} />
      ) : (
        <ul className="items">
          {(sessions.data?.items ?? []).map((s) => (
            <li key={s.uid}>
              <div className="grow">
                <div className="name">{s.current ? t.account.thisSession : s.remoteAddr || t.account.session}</div>
                <div className="small muted wrap">
                  {s.userAgent ? `${browser(s.userAgent)} · ` : ''}
                  {t.account.since} <Time at={s.createdAt} />
                </div>
              </div>
              {!s.current && (
                <Button
                  size="sm"
                  onPress={() => end.mutate(s.uid)}
                  aria-label={t.account.endSessionOf(s.remoteAddr || t.account.session)}
                >
                  {t.account.endSession}
                </Button>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

/** A user agent in two words. */
function browser(ua: string): string {
  const name = /Edg\//.test(ua) ? 'Edge' : /Firefox\//.test(ua) ? 'Firefox' : /Chrome\//.test(ua) ? 'Chrome' : /Safari\//.test(ua) ? 'Safari' : ua.slice(0, 40)
  const system = /Windows/.test(ua) ? 'Windows' : /iPhone|iPad/.test(ua) ? 'iOS' : /Mac OS/.test(ua) ? 'macOS' : /Android/.test(ua) ? 'Android' : /Linux/.test(ua) ? 'Linux' : ''
  return system ? `${name}, ${system}` : name
}

function Password() {
  const [current, setCurrent] = useState('')
  const [next, setNext] = useState('')
  const save = useMutation({
    mutationFn: () => changePassword({ current, new: next }),
    onSuccess: () => {
      setCurrent('')
      setNext('')
      toast(t.account.passwordChanged)
      void queryClient.invalidateQueries({ queryKey: ['session'] })
    },
  })
  const errs = fieldErrors(save.error, ['current', 'new'])
  return (
    <section className="card" aria-labelledby="password">
      <header>
        <h2 id="password">{t.account.changePassword}</h2>
      </header>
      <Form
        className="pad stack loose"
        onSubmit={(e) => {
          e.preventDefault()
          if (!save.isPending) save.mutate()
        }}
      >
        <TextField
          label={t.account.current}
          name="current"
          value={current}
          onChange={setCurrent}
          errors={errs.fields.current}
          autoComplete="current-password"
          secret
          required
        />
        <TextField
          label={t.auth.newPassword}
          name="new"
          value={next}
          onChange={setNext}
          errors={errs.fields.new}
          hint={t.auth.passwordHint}
          autoComplete="new-password"
          secret
          required
        />
        <ErrorNotice error={save.error} extra={errs.rest} />
        <div>
          <Button type="submit" look="primary" busy={save.isPending}>
            {t.account.changePassword}
          </Button>
        </div>
      </Form>
    </section>
  )
}
