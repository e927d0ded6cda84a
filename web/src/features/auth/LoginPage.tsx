import { useMutation, useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { Form } from 'react-aria-components/Form'
import { ProblemError } from '../../api/problem'
import { queryClient } from '../../app/queries'
import { t } from '../../i18n'
import { ErrorNotice } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { TextField } from '../../ui/Field'
import { usePageTitle } from '../../ui/title'
import { login, meQuery, statusQuery } from './api'
import { Gate } from './Gate'
import { safeNext } from './next'

export function LoginPage() {
  usePageTitle(t.auth.login)
  const { next } = useSearch({ strict: false }) as { next?: string }
  const navigate = useNavigate()
  const status = useQuery(statusQuery)
  const me = useQuery(meQuery)
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const enter = useMutation({
    mutationFn: () => login({ name: name.trim(), password }),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: ['me'] }),
    onError: () => setPassword(''),
  })
  useEffect(() => {
    if (me.data) void navigate({ href: safeNext(next), replace: true })
  }, [me.data, navigate, next])
  const refused = enter.error instanceof ProblemError && enter.error.status === 401
  return (
    <Gate title={t.auth.login}>
      <div className="card">
        <Form
          className="stack loose"
          onSubmit={(e) => {
            e.preventDefault()
            if (!enter.isPending) enter.mutate()
          }}
        >
          <TextField
            label={t.auth.name}
            name="username"
            value={name}
            onChange={setName}
            autoComplete="username"
            required
            autoFocus
          />
          <TextField
            label={t.auth.password}
            name="password"
            value={password}
            onChange={setPassword}
            autoComplete="current-password"
            secret
            required
          />
          {refused ? (
            <div className="notice bad" role="alert">
              {enter.error?.message}
            </div>
          ) : (
            <ErrorNotice error={enter.error ?? (me.isError ? me.error : null)} />
          )}
          <Button type="submit" look="primary" size="lg" full busy={enter.isPending}>
            {t.auth.login}
          </Button>
        </Form>
      </div>
      {status.data?.setupRequired && (
        <div className="notice">
          <p>
            {t.auth.firstRun} <Link to="/setup">{t.auth.firstRunLink}</Link>
          </p>
        </div>
      )}
    </Gate>
  )
}
