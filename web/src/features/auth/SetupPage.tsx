import { useMutation, useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { Form } from 'react-aria-components/Form'
import { fieldErrors } from '../../api/problem'
import { queryClient } from '../../app/queries'
import { t } from '../../i18n'
import { ErrorNotice } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { TextField } from '../../ui/Field'
import { usePageTitle } from '../../ui/title'
import { login, meQuery, setup, statusQuery } from './api'
import { Gate } from './Gate'
import { takeCode } from './code'

/** The first run: the one-time code makes the first administrator. */
export function SetupPage() {
  usePageTitle(t.auth.setupTitle)
  const navigate = useNavigate()
  const status = useQuery(statusQuery)
  const [code, setCode] = useState(takeCode)
  const [given] = useState(Boolean(code))
  const [name, setName] = useState('admin')
  const [password, setPassword] = useState('')
  const [again, setAgain] = useState('')
  const differ = again !== '' && again !== password
  const make = useMutation({
    mutationFn: async () => {
      await setup({ code: code.trim(), name: name.trim(), password })
      // A server that does not open a session with the set-up gets an ordinary login.
      await queryClient.fetchQuery({ ...meQuery, staleTime: 0 }).then((me) => me ?? login({ name: name.trim(), password }))
    },
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ['me'] })
      void navigate({ to: '/shares', replace: true })
    },
  })
  const errs = fieldErrors(make.error, ['code', 'name', 'password'])
  if (status.data && !status.data.setupRequired && !make.isPending && !make.isSuccess)
    return (
      <Gate title={t.auth.setupDone} intro={t.auth.setupDoneText}>
        <Link to="/login" className="btn primary lg full">
          {t.auth.toLogin}
        </Link>
      </Gate>
    )
  return (
    <Gate title={t.auth.setupTitle} intro={t.auth.setupText}>
      <div className="card">
        <Form
          className="stack loose"
          onSubmit={(e) => {
            e.preventDefault()
            if (again === password && !make.isPending) make.mutate()
          }}
        >
          <TextField
            label={t.auth.code}
            name="code"
            value={code}
            onChange={setCode}
            errors={errs.fields.code}
            hint={given ? undefined : t.auth.codeHint}
            mono
            required
            autoFocus={!given}
          />
          <TextField
            label={t.auth.adminName}
            name="username"
            value={name}
            onChange={setName}
            errors={errs.fields.name}
            autoComplete="username"
            required
          />
          <TextField
            label={t.auth.newPassword}
            name="password"
            value={password}
            onChange={setPassword}
            errors={errs.fields.password}
            autoComplete="new-password"
            hint={t.auth.passwordHint}
            secret
            required
            autoFocus={given}
          />
          <TextField
            label={t.auth.again}
            name="again"
            value={again}
            onChange={setAgain}
            errors={differ ? [t.auth.differ] : undefined}
            autoComplete="new-password"
            secret
            required
          />
          <ErrorNotice error={make.error} extra={errs.rest} />
          <Button type="submit" look="primary" size="lg" full busy={make.isPending}>
            {t.auth.setupAction}
          </Button>
        </Form>
      </div>
    </Gate>
  )
}
