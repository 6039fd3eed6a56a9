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
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tickfan.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "tickfan.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tickfan.serviceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "tickfan.fullname" .) "default" }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "tickfan.image" -}}
{{- with .Values.image }}
{{- .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* "true" with the broker inside the process, else "". */}}
{{- define "tickfan.isDemo" -}}
{{- if not .Values.broker.existingSecret }}true{{ end }}
{{- end }}

{{- /* Seconds in which a pod's clients have moved: until SIGTERM, and then the drain. */}}
{{- define "tickfan.drainSeconds" -}}
{{- $stop := .Values.config.stop }}
{{- $drain := addf (default 0 $stop.drain_delay_s) $stop.drain_s }}
{{- if ge $drain (float64 $stop.grace_s) }}
{{- fail (printf "config.stop.grace_s is %v: it must exceed drain_delay_s + drain_s (%v)" $stop.grace_s $drain) }}
{{- end }}
{{- add .Values.preStopSeconds (ceil $drain) }}
{{- end }}

{{- /* The service's settings file. JSON's scalars and arrays are TOML's; numbers go
through toJson as helm would print 67108864 as 6.7108864e+07. */}}
{{- define "tickfan.toml" -}}
{{- $config := deepCopy .Values.config }}
{{- with .Values.broker.tls }}
{{- if .existingSecret }}
{{- $files := dict }}
{{- if .caKey }}{{ $_ := set $files "tls_ca_file" "/etc/tickfan/tls/ca.crt" }}{{ end }}
{{- if .certKey }}{{ $_ := set $files "tls_cert_file" "/etc/tickfan/tls/tls.crt" }}{{ end }}
{{- if .keyKey }}{{ $_ := set $files "tls_key_file" "/etc/tickfan/tls/tls.key" }}{{ end }}
{{- $_ := set $config "broker" (merge $files (default dict $config.broker)) }}
{{- end }}
{{- end }}
{{- range $section, $settings := omit $config "feeds" }}
{{- if $settings }}
[{{ $section }}]
{{- include "tickfan.tomlTable" $settings }}
{{ end }}
{{- end }}
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

{{- define "tickfan.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tickfan.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Which nodes a pod may stand on; helm test's pod needs the same. */}}
{{- define "tickfan.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
