"""Monthly reports: who caused what (showback), and what is charged to whom (chargeback); docs/reports.md."""
