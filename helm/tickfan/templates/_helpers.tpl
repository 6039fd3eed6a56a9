{{- define "tickfan.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* "tickfan" for a release of that name, else "<release>-tickfan". */}}
{{- define "tickfan.fullname" -}}
{{- $name := include "tickfan.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "tickfan.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tickfan.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "tickfan.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "tickfan.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* Of an object: the root, its name, labels and annotations of its own. */}}
{{- define "tickfan.metadata" -}}
{{- $common := (index . 0).Values }}
{{- $labels := include "tickfan.labels" (index . 0) | fromYaml -}}
name: {{ index . 1 | quote }}
labels: {{- merge $labels (index . 2) $common.commonLabels | toYaml | nindent 2 }}
{{- with merge dict (index . 3) $common.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tickfan.serviceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "tickfan.fullname" .) "default" }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- /* A registry is a first part with a dot or a port, or localhost. */}}
{{- define "tickfan.image" -}}
{{- $registry := dig "imageRegistry" "" (default dict .Values.global) }}
{{- with .Values.image }}
{{- if $registry }}
{{- $registry }}/{{ regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" .repository "" }}
{{- else }}
{{- .repository }}
{{- end }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* "true" with the broker inside the process, else "". */}}
{{- define "tickfan.isDemo" -}}
{{- if .Values.demo }}true{{ end }}
{{- end }}

{{- /* Seconds in which a pod's clients have moved: until SIGTERM, and then the drain. */}}
{{- define "tickfan.drainSeconds" -}}
{{- $stop := .Values.config.stop }}
{{- $drain := addf (default 0 $stop.drain_delay_s) $stop.drain_s }}
{{- if gt $drain (subf $stop.grace_s 1) }}
{{- fail (printf "config.stop.grace_s is %v: it must be at least drain_delay_s + drain_s + 1 (%v), as the last second is for the last goodbyes" $stop.grace_s (addf $drain 1)) }}
{{- end }}
{{- add .Values.preStopSeconds (ceil $drain) }}
{{- end }}

{{- /* What only two values together show to be wrong, or no schema has a sentence for. */}}
{{- define "tickfan.refusals" -}}
{{- $http := .Values.config.http }}
{{- range $name := list "host" "admin_host" }}
{{- $host := get $http $name | default "127.0.0.1" }}
{{- if regexMatch "^(127\\.|localhost$|::1$)" $host }}
{{- fail (printf "config.http.%s is %s: nobody outside of the pod would reach it; set 0.0.0.0, or \"::\" for IPv6" $name $host) }}
{{- end }}
{{- end }}
{{- if eq (int $http.port) (int $http.admin_port) }}
{{- fail (printf "config.http.port and admin_port are both %v: give each a port of its own" $http.port) }}
{{- end }}
{{- with .Values.service }}
{{- if and (eq .type "ClusterIP") (or .nodePort .externalTrafficPolicy .loadBalancerClass .loadBalancerSourceRanges) }}
{{- fail "service.type is ClusterIP: nodePort, externalTrafficPolicy and loadBalancer... need NodePort or LoadBalancer" }}
{{- end }}
{{- end }}
{{- range .Values.env }}
{{- if has .name (list "TICKFAN_BROKER__URL" "TICKFAN_PUBLISH__TOKEN" "TICKFAN_ACCESS__SECRET" "TICKFAN_HTTP__ADMIN_TOKEN") }}
{{- fail (printf "env: %s has values of its own: set broker.existingSecret, publish.existingSecret, access.existingSecret or admin.existingSecret" .name) }}
{{- end }}
{{- if and (hasPrefix "TICKFAN_" .name) (hasKey . "value") }}
{{- fail (printf "env: %s would win unseen over config: set it there" .name) }}
{{- end }}
{{- end }}
{{- with .Values.broker.tls }}
{{- if and .existingSecret (not $.Values.broker.existingSecret) }}
{{- fail "broker.tls.existingSecret is of no use to the demo's own broker: set broker.existingSecret too, or neither" }}
{{- end }}
{{- if ne (empty .certKey) (empty .keyKey) }}
{{- fail "broker.tls.certKey and keyKey are a client certificate and its private key: set both, or neither" }}
{{- end }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- if eq (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) }}
{{- fail "podDisruptionBudget has minAvailable or maxUnavailable: set one of the two to null" }}
{{- end }}
{{- end }}
{{- with .Values.strategy }}
{{- if and (has (toString .maxUnavailable) (list "0" "0%")) (has (toString .maxSurge) (list "0" "0%")) }}
{{- fail "strategy.maxUnavailable and maxSurge are both 0: a rollout could neither add a pod nor take one away" }}
{{- end }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (not (or .cpuPercent .connectionsPerPod .metrics)) }}
{{- fail "autoscaling goes by nothing: set cpuPercent, connectionsPerPod or metrics" }}
{{- end }}
{{- if and .enabled $.Values.demo }}
{{- fail "autoscaling needs broker.existingSecret: the demo's broker is inside the process, so each replica would have a market of its own" }}
{{- end }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas is %v: it must not exceed maxReplicas (%v)" .minReplicas .maxReplicas) }}
{{- end }}
{{- end }}
{{- $demo := .Values.demo }}
{{- with .Values.config.market }}
{{- if ne (dig "enabled" $demo .) $demo }}
{{- fail (printf "config.market.enabled is %v and demo is %v: set demo alone" .enabled $demo) }}
{{- end }}
{{- end }}
{{- if and $demo .Values.broker.existingSecret }}
{{- fail "demo is true, and broker.existingSecret names a RabbitMQ: invented prices never stand beside real ones, so set one of the two" }}
{{- end }}
{{- if not (or $demo .Values.broker.existingSecret) }}
{{- fail "nothing says where the prices come from: set broker.existingSecret to a Secret that holds the URL of RabbitMQ, or demo=true for invented prices" }}
{{- end }}
{{- end }}

{{- /* The service's settings file. JSON's scalars and arrays are TOML's; numbers go
through toJson as helm would print 67108864 as 6.7108864e+07. */}}
{{- define "tickfan.toml" -}}
{{- $config := deepCopy .Values.config }}
{{- if .Values.demo }}
{{- $_ := set $config "market" (merge (dict "enabled" true) (default dict $config.market)) }}
{{- end }}
{{- with .Values.broker.tls }}
{{- if .existingSecret }}
{{- $files := dict }}
{{- if .caKey }}{{ $_ := set $files "tls_ca_file" "/etc/tickfan/tls/ca.crt" }}{{ end }}
{{- if .certKey }}{{ $_ := set $files "tls_cert_file" "/etc/tickfan/tls/tls.crt" }}{{ end }}
{{- if .keyKey }}{{ $_ := set $files "tls_key_file" "/etc/tickfan/tls/tls.key" }}{{ end }}
{{- $_ := set $config "broker" (merge $files (default dict $config.broker)) }}
{{- end }}
{{- end }}
{{- if .Values.tls.existingSecret }}
{{- $files := dict "tls_cert_file" "/etc/tickfan/public/tls.crt" "tls_key_file" "/etc/tickfan/public/tls.key" }}
{{- $_ := set $config "http" (merge $files $config.http) }}
{{- end }}
{{- range $section, $settings := omit $config "feeds" "keys" }}
{{- if $settings }}
[{{ $section }}]
{{- include "tickfan.tomlTable" $settings }}
{{ end }}
{{- end }}
{{- range $config.keys }}
[[keys]]
{{- include "tickfan.tomlTable" . }}
{{ end }}
{{- range $config.feeds }}
[[feeds]]
{{- include "tickfan.tomlTable" . }}
{{ end }}
{{- end }}

{{- define "tickfan.tomlTable" }}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tickfan.imagePullSecrets" -}}
{{- $found := .Values.imagePullSecrets }}
{{- range dig "imagePullSecrets" list (default dict .Values.global) }}
{{- $found = append $found (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with uniq $found }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tickfan.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Those of the fields that have been given a value. */}}
{{- define "tickfan.given" -}}
{{- range $name, $value := . }}
{{- if $value }}
{{ dict $name $value | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What decides where a pod stands and what it reaches; helm test's pod needs the same. */}}
{{- define "tickfan.placement" -}}
{{- pick .Values "nodeSelector" "affinity" "tolerations" "runtimeClassName" "dnsPolicy" "dnsConfig" "hostAliases" | include "tickfan.given" }}
{{- end }}

{{- /* Helm's patch deletes what the last revision's manifest has and the new one has not.
So this takes the count out of the manifests that Helm keeps, and touches nothing that runs.
The lines around it are this chart's alone, so no other chart of the release loses its count. */}}
{{- define "tickfan.forgetReplicas" -}}
{{- $kubectl := printf "kubectl -n %s" .Release.Namespace }}
{{- $after := printf `\\n  selector:\\n    matchLabels:\\n      app.kubernetes.io\/name: %s\\n` (include "tickfan.name" .) }}
for each in $({{ $kubectl }} get secret -l owner=helm,name={{ .Release.Name }} -o name); do
  {{ $kubectl }} get $each -o jsonpath='{.data.release}' | base64 -d | base64 -d | gzip -d >release.json &&
    sed 's/\\n  replicas: [0-9]*\({{ $after }}\)/\1/' release.json | gzip | base64 -w0 | base64 -w0 |
    sed 's/.*/{"data": {"release": "&"}}/' | {{ $kubectl }} patch $each --patch-file=/dev/stdin
done; rm -f release.json
{{- end }}
