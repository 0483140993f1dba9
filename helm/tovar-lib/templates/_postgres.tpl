{{/* The name of a service's database server. */}}
{{- define "tovar.postgresName" -}}
{{- $operator := (include "tovar.options" . | fromYaml).postgres.operator -}}
{{- /* The name of a CloudNativePG cluster may have 50 characters. */ -}}
{{- include "tovar.within" (list . .Chart.Name (ternary 41 43 (eq $operator "cnpg"))) }}-postgres
{{- end }}

{{/* Where a role's address of the database, TLS and files are: secret, key, sslmode, ca. (list $ role), as owner, service or relay. */}}
{{- define "tovar.database" -}}
{{- $root := first . -}}{{- $role := last . -}}
{{- $o := include "tovar.options" $root | fromYaml -}}
{{- $name := include "tovar.postgresName" $root -}}
{{- $mode := $o.postgres.sslmode -}}
{{- $ca := $o.postgres.ca -}}
{{- /* The owner's was the only one in earlier versions. */ -}}
{{- $secret := $name -}}{{- $key := ternary "url" (printf "%s-url" $role) (eq $role "owner") -}}
{{- if eq $o.postgres.operator "none" -}}
{{- $secret = required "postgres.operator=none needs postgres.existingSecret" $o.postgres.existingSecret -}}
{{- $keys := dict "owner" $o.postgres.existingSecretOwnerKey "relay" $o.postgres.existingSecretRelayKey -}}
{{- $key = index $keys $role | default $o.postgres.existingSecretKey -}}
{{- else if eq $o.postgres.operator "cnpg" -}}
{{- /* The operator makes the owner's address of the primary, and the authority of the servers. */ -}}
{{- $secret = printf "%s-%s" $name (ternary "app" $role (eq $role "owner")) -}}{{- $key = "uri" -}}
{{- $mode = $mode | default "verify-full" -}}
{{- if not $ca.secret -}}{{- $ca = dict "secret" (printf "%s-ca" $name) "key" "ca.crt" -}}{{- end -}}
{{- end -}}
{{- $mode = $mode | default (ternary "verify-full" "disable" (ne $ca.secret "")) -}}
{{- if and (eq $mode "disable") $ca.secret -}}
{{- fail "postgres.ca.secret is of no use with postgres.sslmode=disable" -}}
{{- end -}}
{{- if and (hasPrefix "verify" $mode) (not $ca.secret) -}}
{{- fail (printf "postgres.sslmode=%s needs postgres.ca.secret" $mode) -}}
{{- end -}}
{{- dict "secret" $secret "key" $key "sslmode" $mode "ca" (ternary $ca dict (ne $ca.secret "")) | toYaml -}}
{{- end }}

{{/* The settings of a process that talks to the service's database. */}}
{{- define "tovar.databaseEnv" -}}
{{- $database := include "tovar.database" (list . "service") | fromYaml }}
- {name: DATABASE_URL, value: "file:/etc/tovar/database-url"}
- {name: DATABASE_SSLMODE, value: {{ $database.sslmode }}}
{{- if $database.ca }}
- {name: DATABASE_CA, value: /etc/tovar/database-ca.crt}
{{- end }}
{{- end }}

{{/* The files that these settings name, as sources of a projected volume: (list $ role). */}}
{{- define "tovar.databaseFiles" -}}
{{- $database := include "tovar.database" . | fromYaml }}
- secret:
    name: {{ $database.secret }}
    items: [{key: {{ $database.key }}, path: database-url}]
{{- with $database.ca }}
- secret:
    name: {{ .secret }}
    items: [{key: {{ .key }}, path: database-ca.crt}]
{{- end }}
{{- end }}

{{/* The way to the database, as a rule of a NetworkPolicy. */}}
{{- define "tovar.databaseEgress" -}}
{{- $o := include "tovar.options" . | fromYaml }}
{{- if eq $o.postgres.operator "statefulset" }}
- to: [{podSelector: {matchLabels: {{ include "tovar.selector" (list . "postgres") | fromYaml | toJson }}}}]
  ports: [{port: 5432, protocol: TCP}]
{{- else if eq $o.postgres.operator "cnpg" }}
- to: [{podSelector: {matchLabels: {cnpg.io/cluster: {{ include "tovar.postgresName" . }}}}}]
  ports: [{port: 5432, protocol: TCP}]
{{- else }}
- {{ with $o.postgres.egress.to }}to: {{- toYaml . | nindent 4 }}
  {{ end -}}
  ports: [{port: {{ $o.postgres.egress.port }}, protocol: TCP}]
{{- end }}
{{- end }}

{{/* A value of a secret that is kept from one upgrade to the next, and made when there is none: (dict "in" data "key" key). */}}
{{- define "tovar.kept" -}}
{{- with index .in .key -}}{{- . | b64dec -}}{{- else -}}{{- randAlphaNum 32 -}}{{- end -}}
{{- end }}

{{/* The service's database, if it is the chart's to make. */}}
{{- define "tovar.postgres" -}}
{{- $o := include "tovar.options" . | fromYaml -}}
{{- if eq $o.postgres.operator "statefulset" }}
{{ include "tovar.postgresPlain" (list . $o) }}
{{- else if eq $o.postgres.operator "cnpg" }}
{{ include "tovar.postgresCnpg" (list . $o) }}
{{- end }}
{{- end }}

{{/* The roles beside the owner, as libs/connect has them: a link to its file leads there. */}}
{{- define "tovar.rolesSql" -}}
{{- (index .Subcharts "tovar-lib").Files.Get "roles.sql" -}}
{{- end }}

{{- define "tovar.postgresPlain" -}}
{{- $root := first . -}}{{- $o := last . -}}
{{- $name := include "tovar.postgresName" $root -}}
{{- $service := $root.Chart.Name -}}
{{- $known := ((lookup "v1" "Secret" $root.Release.Namespace $name).data) | default dict -}}
{{- $password := include "tovar.kept" (dict "in" $known "key" "password") }}
---
apiVersion: v1
kind: Secret
metadata: {{- include "tovar.metadata" (list $root "postgres" $name) | nindent 2 }}
  # The volume outlives the release, and with it the passwords.
  annotations: {helm.sh/resource-policy: keep}
stringData:
  superuser-password: {{ include "tovar.kept" (dict "in" $known "key" "superuser-password") }}
  password: {{ $password }}
  url: postgres://{{ $service }}:{{ $password }}@{{ $name }}:5432/{{ $service }}
  {{- range tuple "service" "relay" "reader" }}
  {{- $own := include "tovar.kept" (dict "in" $known "key" (printf "%s-password" .)) }}
  {{ . }}-password: {{ $own }}
  {{ . }}-url: postgres://{{ $service }}_{{ . }}:{{ $own }}@{{ $name }}:5432/{{ $service }}
  {{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{- include "tovar.metadata" (list $root "postgres" $name) | nindent 2 }}
data:
  # At each start: what a later version wants is there, too. Passwords are read by psql, and stand in no argument.
  roles.sh: |
    set -e
    until pg_isready -q -h 127.0.0.1 -U postgres; do sleep 0.2; done
    psql -v ON_ERROR_STOP=1 -q --username postgres <<'SQL'
    \set owner_password `cat /etc/postgres/password`
    \set service_password `cat /etc/postgres/service-password`
    \set relay_password `cat /etc/postgres/relay-password`
    \set reader_password `cat /etc/postgres/reader-password`
    SELECT 'CREATE ROLE {{ $service }} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{{ $service }}') \gexec
    ALTER ROLE {{ $service }} PASSWORD :'owner_password';
    SELECT 'CREATE DATABASE {{ $service }} OWNER {{ $service }}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{{ $service }}') \gexec
    REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
    \connect {{ $service }}
    SET client_min_messages = warning;
    \i /etc/postgres-roles/roles.sql
    {{- range tuple "service" "relay" "reader" }}
    ALTER ROLE {{ $service }}_{{ . }} PASSWORD :'{{ . }}_password';
    {{- end }}
    SQL
  roles.sql: |
    {{- include "tovar.rolesSql" $root | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata: {{- include "tovar.metadata" (list $root "postgres" $name) | nindent 2 }}
spec:
  selector: {{- include "tovar.selector" (list $root "postgres") | nindent 4 }}
  ports: [{name: postgres, port: 5432, targetPort: postgres}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{- include "tovar.metadata" (list $root "postgres" $name) | nindent 2 }}
spec:
  serviceName: {{ $name }}
  replicas: 1
  selector:
    matchLabels: {{- include "tovar.selector" (list $root "postgres") | nindent 6 }}
  template:
    metadata:
      labels: {{- include "tovar.labels" (list $root "postgres") | nindent 8 }}
      annotations:
        # Other roles are another pod, which makes them.
        checksum/roles: {{ include "tovar.rolesSql" $root | sha256sum }}
    spec:
      {{- include "tovar.podBase" $root | nindent 6 }}
      securityContext: {{- include "tovar.podSecurity" (dict "user" $o.postgres.runAsUser) | nindent 8 }}
      terminationGracePeriodSeconds: 60
      {{- with $o.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $o.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: postgres
          image: {{ $o.postgres.image }}
          securityContext: {{- include "tovar.containerSecurity" $root | nindent 12 }}
          env:
            - {name: PGDATA, value: /var/lib/postgresql/data/pgdata}
            - {name: POSTGRES_PASSWORD_FILE, value: /etc/postgres/superuser-password}
          lifecycle: {postStart: {exec: {command: [sh, /etc/postgres-roles/roles.sh]}}}
          ports: [{name: postgres, containerPort: 5432}]
          # Also while it makes its cluster: then it does not listen on TCP.
          startupProbe:
            exec: {command: [pg_isready, -h, 127.0.0.1, -U, postgres]}
            periodSeconds: 1
            failureThreshold: 120
          readinessProbe:
            exec: {command: [pg_isready, -h, 127.0.0.1, -U, postgres]}
            periodSeconds: 5
            timeoutSeconds: 5
          livenessProbe:
            tcpSocket: {port: postgres}
            periodSeconds: 20
            failureThreshold: 5
          resources: {{- toYaml $o.postgres.resources | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: /var/lib/postgresql/data}
            - {name: roles, mountPath: /etc/postgres-roles, readOnly: true}
            - {name: passwords, mountPath: /etc/postgres, readOnly: true}
            - {name: run, mountPath: /var/run/postgresql}
            - {name: run, mountPath: /tmp, subPath: tmp}
            - {name: shm, mountPath: /dev/shm}
      volumes:
        - {name: roles, configMap: {name: {{ $name }}}}
        - name: passwords
          secret:
            secretName: {{ $name }}
            defaultMode: 0440
            items:
              {{- range tuple "superuser-password" "password" "service-password" "relay-password" "reader-password" }}
              - {key: {{ . }}, path: {{ . }}}
              {{- end }}
        - {name: run, emptyDir: {sizeLimit: 64Mi}}
        - {name: shm, emptyDir: {medium: Memory, sizeLimit: 128Mi}}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels: {{- include "tovar.selector" (list $root "postgres") | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $o.postgres.storage.class }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ $o.postgres.storage.size }}}}
{{- end }}

{{- define "tovar.postgresCnpg" -}}
{{- $root := first . -}}{{- $o := last . -}}
{{- $name := include "tovar.postgresName" $root -}}
{{- $service := $root.Chart.Name -}}
{{- range tuple "service" "relay" "reader" }}
{{- $secret := printf "%s-%s" $name . }}
{{- $known := ((lookup "v1" "Secret" $root.Release.Namespace $secret).data) | default dict }}
{{- $password := include "tovar.kept" (dict "in" $known "key" "password") }}
---
apiVersion: v1
kind: Secret
metadata: {{- include "tovar.metadata" (list $root "postgres" $secret) | nindent 2 }}
type: kubernetes.io/basic-auth
stringData:
  username: {{ $service }}_{{ . }}
  password: {{ $password }}
  uri: postgres://{{ $service }}_{{ . }}:{{ $password }}@{{ $name }}-rw:5432/{{ $service }}
{{- end }}
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {{- include "tovar.metadata" (list $root "postgres" $name) | nindent 2 }}
spec:
  instances: {{ $o.postgres.cnpg.instances }}
  {{- with $o.postgres.cnpg.imageName }}
  imageName: {{ . }}
  {{- end }}
  bootstrap:
    initdb:
      database: {{ $service }}
      owner: {{ $service }}
      encoding: UTF8
      localeCollate: C
      localeCType: C
      # By a superuser, in a new cluster only: in one of an earlier version an administrator runs it, see docs/deploy.md.
      postInitApplicationSQL:
        - |
          {{- include "tovar.rolesSql" $root | nindent 10 }}
  managed:
    roles:
      {{- range tuple "service" "relay" "reader" }}
      - name: {{ $service }}_{{ . }}
        ensure: present
        login: true
        {{- if eq . "reader" }}
        connectionLimit: 20
        {{- end }}
        passwordSecret: {name: {{ $name }}-{{ . }}}
      {{- end }}
  # An event that was acknowledged to its publisher survives the loss of the primary.
  {{- if gt (int $o.postgres.cnpg.instances) 1 }}
  postgresql:
    synchronous: {method: any, number: 1}
    parameters: {lc_messages: C}
  {{- else }}
  postgresql:
    parameters: {lc_messages: C}
  {{- end }}
  storage:
    size: {{ $o.postgres.storage.size }}
    {{- with $o.postgres.storage.class }}
    storageClass: {{ . }}
    {{- end }}
  resources: {{- toYaml $o.postgres.resources | nindent 4 }}
{{- end }}
