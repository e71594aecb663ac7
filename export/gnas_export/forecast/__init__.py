"""Forecast: what an export will take, from its own steps on few users and short timings of what it does for each."""

from gnas_export.forecast.forecast import ExportForecast, StepForecast, forecast_export

__all__ = ["ExportForecast", "StepForecast", "forecast_export"]
